// Program calls functions of every shape. The comments say what the hooks of the pack beside it must see, in this order;
// all that it prints must be what it prints when it is not woven.
package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"

	"example.com/shapes/calls"
	"example.com/shapes/forms"
)

//sees: init a
//sees: init b

func main() {
	fmt.Println(forms.Map([]int{1, 2}, func(n int) string { return fmt.Sprint(n) })) //sees: before Map 2
	//sees: after Map 2

	var box forms.Box[string]
	box.Put("first") //sees: before Put first
	//sees: after Put
	fmt.Println(box.Put("second")) //sees: before Put second
	//sees: after Put first

	fmt.Println(forms.Sum("x", 1, 2, 3)) //sees: before Sum x 3
	//sees: after Sum 6
	fmt.Println(forms.Unnamed(1, "a")) //sees: before Unnamed 1 a
	//sees: after Unnamed 2 none
	fmt.Println(forms.Blank(3, "b")) //sees: before Blank 3 b
	//sees: after Blank 0 odd
	fmt.Println(forms.Named(4)) //sees: after Named 8 none

	fmt.Println(caught(forms.Panics)) //sees: after Panics
	exits()                           //sees: after Exits
	forms.Closure(1)()                //sees: closure 2
	fmt.Println(forms.Literals(4))    //sees: in forms.Literals.func1 4
	//sees: in forms.init.func1 4
	//sees: wrap 8
	//sees: after forms.Literals.func1
	fmt.Println(forms.Hidden(10)) //sees: hidden 10
	//sees: hidden 12

	counter := forms.Counter{}
	add := counter.Add
	add(5) //sees: before Add 0 5
	forms.Counter.Show(counter)
	(*forms.Counter).Add(&counter, 1) //sees: before Add 5 1

	fmt.Println(forms.Shadowed(1, "two", true)) //sees: enter Shadowed
	fmt.Println(forms.Spanned(true, 3))
	fmt.Println(forms.Directed(2))     //sees: directive forms.Directed id=7 "quoted"
	fmt.Println(forms.Tagged(1))       //sees: before Tagged 1
	fmt.Println(forms.FromC(21))       //sees: before FromC 21
	fmt.Println(calls.Assembled(2, 3)) //sees: before Assembled 2 3
	fmt.Println(forms.Wrapped("in"))   //sees: wrap in
	fmt.Println(forms.Fielded())       //sees: field 7

	ctx := context.Background()
	fmt.Println(forms.Filtered(ctx, 1), forms.SkipFiltered(ctx), forms.NoError(ctx)) //sees: filtered forms.Filtered
	fmt.Println(calls.Filtered(ctx))                                                 //sees: filtered calls.Filtered

	fmt.Println(calls.Plain("a"), calls.Renamed("b"), calls.Dotted("c")) //sees: call ToUpper a
	//sees: call ToUpper b
	//sees: call ToUpper c
	fmt.Println(calls.Shadowed("d"), calls.Value("e"))
	fmt.Println(calls.Argument("f")) //sees: argument f
	fmt.Println(calls.Result("g"))   //sees: result g true
	fmt.Println(calls.Options("h"))  //sees: option 1
	var buffer bytes.Buffer
	fmt.Println(calls.Method(&buffer), buffer.String()) //sees: method 2
	fmt.Println(calls.Methods())                        //sees: written a
	//sees: written b
	//sees: written c
	//sees: name e
	fmt.Println(calls.Generic(3)) //sees: call Twice 3
	calls.Started()               //sees: call ToUpper started
}

func caught(f func() error) (err error) {
	defer func() { err = fmt.Errorf("caught %v", recover()) }()
	return f()
}

func exits() {
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		forms.Exits(runtime.Goexit)
	}()
	done.Wait()
}
