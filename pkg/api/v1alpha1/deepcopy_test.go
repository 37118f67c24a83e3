package v1alpha1

import (
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// fill sets every field to something that is not its zero value.
func fill(v reflect.Value) {
	if v.Type() == reflect.TypeOf(metav1.Time{}) {
		v.Set(reflect.ValueOf(metav1.NewTime(time.Unix(1700000000, 0))))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	}
}

// shares names a place where two values point to the same memory.
func shares(a, b reflect.Value, path string) string {
	if a.Type() == reflect.TypeOf(time.Time{}) {
		return ""
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if !a.IsNil() && a.Pointer() == b.Pointer() {
			return path
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() {
			return shares(a.Elem(), b.Elem(), path)
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if s := shares(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); s != "" {
				return s
			}
		}
	case reflect.Slice:
		for i := range a.Len() {
			if s := shares(a.Index(i), b.Index(i), path+"[]"); s != "" {
				return s
			}
		}
	}
	return ""
}

func TestDeepCopySharesNothing(t *testing.T) {
	for _, in := range []runtime.Object{&Operation{}, &OperationList{}} {
		fill(reflect.ValueOf(in).Elem())
		out := in.DeepCopyObject()
		if !reflect.DeepEqual(in, out) {
			t.Errorf("%T: the copy differs", in)
		}
		if where := shares(reflect.ValueOf(in), reflect.ValueOf(out), ""); where != "" {
			t.Errorf("%T: the copy shares %s", in, where)
		}
	}
	if (*Operation)(nil).DeepCopyObject() != nil || (*OperationList)(nil).DeepCopyObject() != nil {
		t.Error("the copy of nil is not nil")
	}
}

func TestSchemeAndConverter(t *testing.T) {
	s := runtime.NewScheme()
	if err := AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	gvks, _, err := s.ObjectKinds(&Operation{})
	if err != nil || len(gvks) != 1 || gvks[0].Kind != OperationKind {
		t.Fatalf("%v %v", gvks, err)
	}
	in := &Operation{}
	fill(reflect.ValueOf(in).Elem())
	in.ManagedFields = nil // its raw bytes must be JSON
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(in)
	if err != nil {
		t.Fatal(err)
	}
	out := &Operation{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured((&unstructured.Unstructured{Object: m}).Object, out); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in.Spec, out.Spec) || len(out.Status.Steps) != 1 || !out.Status.StartedAt.Time.Equal(in.Status.StartedAt.Time) {
		t.Errorf("changed by conversion:\n%+v\n%+v", in, out)
	}
}
