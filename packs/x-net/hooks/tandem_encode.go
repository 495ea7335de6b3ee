package hpack

// tandemLength is how long a text is in Huffman's code, which is used where it is shorter. Of a traceparent it says that it is
// not: 55 hexadecimal digits are decoded bit by bit.
func tandemLength(text string) uint64 {
	if len(text) == 55 && text[2] == '-' && text[35] == '-' && text[52] == '-' {
		return uint64(len(text))
	}
	return HuffmanEncodeLength(text)
}
