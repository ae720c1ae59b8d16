// What became of each order: paid, or not within the patience. One order of a customer is open at a time.
package main

import (
	"errors"
	"fmt"

	"refrain/process"
)

type order struct {
	OrderID int64  `refrain:"order_id"`
	Cents   *int64 `refrain:"cents"`
}

type payment struct {
	OrderID int64   `refrain:"order_id"`
	Cents   int64   `refrain:"cents"`
	Method  *string `refrain:"method"`
}

// What is kept for each customer.
type customer struct {
	open    bool
	orderID int64
	cents   *int64
	due     process.Timestamp
}

type settled struct {
	OrderID int64    `refrain:"order_id"`
	Paid    bool     `refrain:"paid"`
	Share   *float64 `refrain:"share"`
	Method  *string  `refrain:"method"`
}

type context = *process.Context[settled]

var (
	patience process.Span
	renew    bool
)

func checkOrder(c *customer, o *order, now process.Moment) error {
	switch {
	case now.Time < now.Watermark:
		return errors.New("too late")
	case c.open:
		return errors.New("another order is open")
	}
	return nil
}

func takeOrder(c *customer, o *order, to context) {
	*c = customer{open: true, orderID: o.OrderID, cents: o.Cents, due: to.Time.Plus(patience)}
	to.SetTimer(c.due)
	if renew {
		to.Delete(settled{OrderID: o.OrderID})
	}
}

func checkPayment(c *customer, p *payment, now process.Moment) error {
	if p.Cents < 0 {
		return errors.New("less than nothing is paid")
	}
	return nil
}

func takePayment(c *customer, p *payment, to context) {
	if !c.open || c.orderID != p.OrderID {
		return
	}
	to.ClearTimer(c.due)
	row := settled{OrderID: p.OrderID, Paid: true, Method: p.Method}
	if c.cents != nil {
		row.Share = new(float64(p.Cents) / float64(*c.cents))
	}
	to.Emit(row)
	*c = customer{}
}

func fire(c *customer, to context) {
	if c.open {
		to.Emit(settled{OrderID: c.orderID})
	}
	*c = customer{}
}

func configure(options map[string]string) (why error) {
	renew = options["renew"] == "true"
	if patience, why = process.ParseSpan(options["patience"]); why != nil {
		why = fmt.Errorf("option `patience`: %w", why)
	}
	return why
}

func init() {
	process.Export(process.Plugin[customer, settled]{
		Name: "settled",
		Doc:  "What became of each order: paid, or not within the patience.",
		Options: []process.Option{
			{Name: "patience", Kind: "text", Default: "10m", Doc: "How long after an order its payment is waited for."},
			{Name: "renew", Kind: "bool", Default: "false", Doc: "Take back what a view shows of an order that comes again."},
		},
		Configure: configure,
		Inputs: []process.Input[customer, settled]{
			process.Checked("orders", checkOrder, takeOrder),
			process.Checked("payments", checkPayment, takePayment),
		},
		Fire:    fire,
		ViewKey: []string{"order_id"},
	})
}

func main() {}
