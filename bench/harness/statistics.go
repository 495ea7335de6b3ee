package main

import (
	"math"
	"math/rand"
	"sort"
)

// fast is the mean of the fastest quarter. What disturbs a measurement on a shared machine only ever adds, so this is
// steadier than the median, and than the minimum, which is one value.
func fast(values []float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return mean(sorted[:(len(sorted)+3)/4])
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	return sum / float64(len(values))
}

func median(values []float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// series are the figures of one case and of its twin, round by round.
type series struct{ first, second []float64 }

// control is what two equal things differ by.
func (s series) control() float64 { return fast(s.second) - fast(s.first) }

func (s series) all() []float64 { return append(append([]float64(nil), s.first...), s.second...) }

// noise is half the width of the 95 % interval of a statistic over rounds, by resampling whole rounds: what happened in
// one round happened to all its cases.
func noise(rounds int, statistic func(chosen []int) float64) float64 {
	const resamples = 400
	random := rand.New(rand.NewSource(1))
	results := make([]float64, resamples)
	chosen := make([]int, rounds)
	for index := range results {
		for place := range chosen {
			chosen[place] = random.Intn(rounds)
		}
		results[index] = statistic(chosen)
	}
	sort.Float64s(results)
	return (results[resamples*39/40] - results[resamples/40]) / 2
}

// picked are the values of some rounds.
func picked(values []float64, chosen []int) []float64 {
	some := make([]float64, len(chosen))
	for place, index := range chosen {
		some[place] = values[index]
	}
	return some
}

// difference compares two cases of one program: of the fastest quarters, with its noise, and the median of the rounds' own
// differences for comparison.
func difference(base, value series) (difference, noiseOf, medianOf float64) {
	rounds := min(len(base.first), len(base.second), len(value.first), len(value.second))
	pooled := func(s series, chosen []int) float64 {
		return fast(append(picked(s.first, chosen), picked(s.second, chosen)...))
	}
	pairs := make([]float64, rounds)
	for index := range pairs {
		pairs[index] = (value.first[index] + value.second[index] - base.first[index] - base.second[index]) / 2
	}
	noiseOf = noise(rounds, func(chosen []int) float64 { return pooled(value, chosen) - pooled(base, chosen) })
	return fast(value.all()) - fast(base.all()), noiseOf, median(pairs)
}

// interval is half the width of the 95 % interval of a mean, from few values (Student's t).
func interval(values []float64) float64 {
	quantiles := []float64{0, 12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26}
	if len(values) < 2 {
		return 0
	}
	center, squares := mean(values), 0.0
	for _, value := range values {
		squares += (value - center) * (value - center)
	}
	quantile := 2.0
	if len(values) <= len(quantiles) {
		quantile = quantiles[len(values)-1]
	}
	return quantile * math.Sqrt(squares/float64(len(values)-1)/float64(len(values)))
}
