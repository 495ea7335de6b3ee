package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/png"

	pb "example.com/shop/internal/ordersv1"
)

var invoicePage = template.Must(template.New("invoice").Funcs(template.FuncMap{
	"money": func(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) },
	"total": func(line *pb.Line) int64 { return line.PriceCents * int64(line.Quantity) },
}).Parse(`<!doctype html>
<title>Invoice {{.Order.Id}}</title>
<h1>Invoice for {{.Order.Customer}}</h1>
<table>
{{- range .Order.Lines}}
<tr><td>{{.Sku}}<td>{{.Quantity}}<td>{{money .PriceCents}}<td>{{money (total .)}}
{{- end}}
<tr><th colspan=3>Total<th>{{money .Order.TotalCents}}
</table>
<img alt="seal" src="data:image/png;base64,{{.Seal}}">
`))

// renderInvoice returns the invoice as one HTML page.
func renderInvoice(order *pb.Order) ([]byte, error) {
	seal, err := drawSeal(order)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	err = invoicePage.Execute(&page, struct {
		Order *pb.Order
		Seal  string
	}{order, base64.StdEncoding.EncodeToString(seal)})
	return page.Bytes(), err
}

const (
	sealCells = 16 // A cell for each bit of a SHA-256 sum.
	cellSize  = 24 // Pixels.
)

// drawSeal draws the order's digest as a PNG image of black and white cells.
func drawSeal(order *pb.Order) ([]byte, error) {
	digest := sha256.Sum256(fmt.Append(nil, order.Id, order.Customer, order.TotalCents))
	picture := image.NewGray(image.Rect(0, 0, sealCells*cellSize, sealCells*cellSize))
	for bit := range sealCells * sealCells {
		shade := color.White
		if digest[bit/8]>>(bit%8)&1 == 1 {
			shade = color.Black
		}
		corner := image.Pt(bit%sealCells, bit/sealCells).Mul(cellSize)
		cell := image.Rectangle{Min: corner, Max: corner.Add(image.Pt(cellSize, cellSize))}
		draw.Draw(picture, cell, image.NewUniform(shade), image.Point{}, draw.Src)
	}
	var encoded bytes.Buffer
	err := png.Encode(&encoded, picture)
	return encoded.Bytes(), err
}
