package ordersv1

import "strings"

const statusPrefix = "STATUS_"

// Word returns the status as people read it: "paid" for STATUS_PAID.
func (s Status) Word() string {
	return strings.ToLower(strings.TrimPrefix(s.String(), statusPrefix))
}

// ParseStatus is the reverse of Word; an unknown word gives STATUS_UNSPECIFIED.
func ParseStatus(word string) Status {
	return Status(Status_value[statusPrefix+strings.ToUpper(word)])
}

// Final says whether nothing more can happen to an order in this status.
func (s Status) Final() bool {
	return s == Status_STATUS_INVOICED || s == Status_STATUS_DECLINED || s == Status_STATUS_CANCELLED
}
