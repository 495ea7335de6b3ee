// Quiet has no net/http.
package main

func main() { finished() }

//tandem:span finished
func finished() {}
