package adopt

import (
	"slices"
	"testing"
)

// TestOrder: rights go before what bounds them, and every kind that an adoption applies has its place.
func TestOrder(t *testing.T) {
	all, err := applied()
	if err != nil {
		t.Fatal(err)
	}
	got := ordered(append([]Object{{gvrNamespace, "", "ha-system"}}, all...))
	var kinds []string
	for _, o := range got {
		if !slices.Contains(order, o.resource.Resource) {
			t.Errorf("%s has no place", o)
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != o.resource.Resource {
			kinds = append(kinds, o.resource.Resource)
		}
	}
	if !slices.Equal(kinds, order) {
		t.Errorf("the order is %v, want %v", kinds, order)
	}
}
