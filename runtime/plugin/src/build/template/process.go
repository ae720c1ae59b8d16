// Says which orders were not paid in time: rows of two inputs with the same key, and a timer.
package main

import (
	"fmt"

	"refrain/process"
)

// The input fields that are wanted, with the names and types that they have in the topic.
type order struct {
	OrderID int64 `refrain:"order_id"`
}

type payment struct {
	OrderID int64 `refrain:"order_id"`
}

// What is kept for each key.
type customer struct {
	open    bool
	orderID int64
}

// The fields of the rows that it gives, beside the key.
type unpaid struct {
	OrderID int64 `refrain:"order_id"`
}

type context = *process.Context[unpaid]

// How long after an order its payment is waited for.
var patience process.Span

func takeOrder(c *customer, o *order, to context) {
	*c = customer{open: true, orderID: o.OrderID}
	to.SetTimer(to.Time.Plus(patience))
}

func takePayment(c *customer, p *payment, to context) {
	if c.open && c.orderID == p.OrderID {
		*c = customer{}
	}
}

// The watermark has reached the time of a timer.
func fire(c *customer, to context) {
	if c.open {
		to.Emit(unpaid{c.orderID})
	}
	*c = customer{}
}

func configure(options map[string]string) (why error) {
	if patience, why = process.ParseSpan(options["patience"]); why != nil {
		why = fmt.Errorf("option `patience`: %w", why)
	}
	return why
}

func init() {
	process.Export(process.Plugin[customer, unpaid]{
		Name: "NAME",
		Doc:  "Orders that were not paid in time.",
		Options: []process.Option{
			{Name: "patience", Kind: "text", Default: "10m", Doc: "How long after an order its payment is waited for."},
		},
		Configure: configure,
		// The pipeline file says which topic each is: input = { orders = "..", payments = ".." }
		Inputs: []process.Input[customer, unpaid]{
			process.From("orders", takeOrder),
			process.From("payments", takePayment),
		},
		Fire: fire,
	})
}

func main() {}
