package standalone

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// A compressor for one kind of text: requests, in which the same keys, names and values come again and again. It finds what
// was there before by a table of the places where four bytes were last seen, and writes one block with the codes that the
// format has fixed: codes of its own would save a tenth of the bytes for twice the time. The library's writer, at its
// fastest, takes several times as long, and would be linked for this alone.

const (
	placeBits = 13
	// farthest is how far back the format can point, longest how much at a time.
	farthest = 1 << 15
	longest  = 258
	shortest = 4
	// patience is how many bytes are looked at in vain before some are left out: twice as many, one more each time.
	patience = 5
)

// packer makes gzip files. What it needs is kept from one to the next.
type packer struct {
	places [1 << placeBits]uint32 // one more than where, so that nothing is 0
	codes  *codes
	out    []byte
	bits   uint64
	count  uint // of bits
}

// code is what stands for a value: bits, the first one lowest.
type code struct {
	bits  uint32
	count uint8
}

// codes are those of the format.
type codes struct {
	literals  [257]code // 256 ends the block
	lengths   [longest + 1]code
	distances [30]code
	from      [30]uint32 // the distance that each begins at
}

func newCodes() *codes {
	c := new(codes)
	symbol := func(number uint32) code {
		switch {
		case number < 144:
			return reversed(0x30+number, 8)
		case number < 256:
			return reversed(0x190+number-144, 9)
		case number < 280:
			return reversed(number-256, 7)
		}
		return reversed(0xc0+number-280, 8)
	}
	for number := range c.literals {
		c.literals[number] = symbol(uint32(number))
	}
	// Four lengths share so many extra bits, but for the first eight, which have none, and the last, which has its own.
	length := uint32(3)
	for number := uint32(257); number < 285; number++ {
		extra := uint32(0)
		if number >= 265 {
			extra = (number - 261) / 4
		}
		for more := uint32(0); more < 1<<extra && length <= longest; more++ {
			own := symbol(number)
			c.lengths[length] = code{own.bits | more<<own.count, own.count + uint8(extra)}
			length++
		}
	}
	c.lengths[longest] = symbol(285)
	distance := uint32(1)
	for number := range c.distances {
		c.distances[number] = reversed(uint32(number), 5)
		c.from[number] = distance
		distance += 1 << extraOf(number)
	}
	return c
}

// extraOf is how many extra bits a distance has.
func extraOf(number int) uint {
	if number < 4 {
		return 0
	}
	return uint(number)/2 - 1
}

func reversed(value uint32, count uint8) code {
	return code{bits.Reverse32(value) >> (32 - count), count}
}

// pack returns the compressed body, which is good until the next call.
func (p *packer) pack(body []byte) []byte {
	if p.codes == nil {
		p.codes = newCodes()
	}
	clear(p.places[:])
	p.out = append(p.out[:0], 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255) // no time, fast, no system
	p.bits, p.count = 0, 0
	p.put(3, 3) // the last block, with the fixed codes
	p.block(body)
	p.code(p.codes.literals[256])
	for ; p.count > 0; p.count -= min(8, p.count) {
		p.out = append(p.out, byte(p.bits))
		p.bits >>= 8
	}
	p.out = binary.LittleEndian.AppendUint32(p.out, crc32.ChecksumIEEE(body))
	return binary.LittleEndian.AppendUint32(p.out, uint32(len(body)))
}

func (p *packer) block(body []byte) {
	done, misses := 0, uint(0)
	for at := 0; at+8 <= len(body); {
		word := binary.LittleEndian.Uint32(body[at:])
		place := &p.places[word*0x9e3779b1>>(32-placeBits)]
		before := int(*place) - 1
		*place = uint32(at + 1)
		if before < 0 || at-before > farthest || binary.LittleEndian.Uint32(body[before:]) != word {
			misses++
			at += 1 + int(misses>>patience)
			continue
		}
		misses = 0
		size := shortest + common(body[before+shortest:], body[at+shortest:])
		for before > 0 && at > done && body[before-1] == body[at-1] {
			before, at, size = before-1, at-1, size+1
		}
		p.literals(body[done:at])
		p.again(size, at-before)
		at += size
		done = at
		if at+8 <= len(body) { // what comes next time may begin where this one ended
			p.places[binary.LittleEndian.Uint32(body[at-2:])*0x9e3779b1>>(32-placeBits)] = uint32(at - 2 + 1)
		}
	}
	p.literals(body[done:])
}

// common is how much two texts have in common at their beginnings. The first one is the longer.
func common(one, other []byte) (size int) {
	for len(other)-size >= 8 {
		if differs := binary.LittleEndian.Uint64(one[size:]) ^ binary.LittleEndian.Uint64(other[size:]); differs != 0 {
			return size + bits.TrailingZeros64(differs)>>3
		}
		size += 8
	}
	for size < len(other) && one[size] == other[size] {
		size++
	}
	return size
}

func (p *packer) literals(text []byte) {
	for _, letter := range text {
		p.code(p.codes.literals[letter])
	}
}

// again says that so much is as it was so far back.
func (p *packer) again(size, distance int) {
	number := distance - 1 // as a code for as long as it has no extra bits
	if distance > 4 {
		high := bits.Len32(uint32(distance-1)) - 1
		number = 2*high + (distance-1)>>(high-1)&1
	}
	far := p.codes.distances[number]
	far.bits |= (uint32(distance) - p.codes.from[number]) << far.count
	far.count += uint8(extraOf(number))
	for size > 0 {
		part := min(size, longest)
		if rest := size - part; rest > 0 && rest < 3 {
			part -= 3 // nothing shorter can be said
		}
		p.code(p.codes.lengths[part])
		p.code(far)
		size -= part
	}
}

func (p *packer) code(c code) { p.put(uint64(c.bits), uint(c.count)) }

func (p *packer) put(value uint64, count uint) {
	p.bits |= value << p.count
	p.count += count
	if p.count >= 32 {
		p.out = binary.LittleEndian.AppendUint32(p.out, uint32(p.bits))
		p.bits >>= 32
		p.count -= 32
	}
}
