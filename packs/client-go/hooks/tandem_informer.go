package cache

import (
	"reflect"

	tandem_rt "tandem/rt"
)

// This file makes spans of the calls of informers' handlers, where somebody asks for them: objects come by the thousand.

var tandemHandling = tandem_rt.NewOp("client-go.handle", "tandem/k8s.io/client-go", tandem_rt.KindInternal,
	"{k8s.informer.event} {k8s.informer.type}").OffByDefault()

var (
	tandemEvent     = tandem_rt.NewKey("k8s.informer.event")
	tandemType      = tandem_rt.NewKey("k8s.informer.type")
	tandemNamespace = tandem_rt.NewKey("k8s.namespace.name")
)

// tandemHandle begins the span of a call about an object.
func tandemHandle(event string, object interface{}) *tandem_rt.Span {
	if !tandemHandling.On() {
		return nil
	}
	span := tandem_rt.StartFunc(tandemHandling, nil)
	span.Str(tandemEvent, event)
	if lost, is := object.(DeletedFinalStateUnknown); is { // that it is gone was missed
		object = lost.Obj
	}
	kind := "unknown"
	if object != nil {
		kind = reflect.TypeOf(object).String()
	}
	span.Str(tandemType, kind)
	if with, is := object.(interface{ GetNamespace() string }); is && span.Recording() {
		if namespace := with.GetNamespace(); namespace != "" {
			span.Str(tandemNamespace, namespace)
		}
	}
	return span
}

func tandemOnAdd(handler ResourceEventHandler, object interface{}, isInInitialList bool) {
	span := tandemHandle("add", object)
	defer span.EndFunc(nil)
	handler.OnAdd(object, isInInitialList)
}

func tandemOnUpdate(handler ResourceEventHandler, before, object interface{}) {
	span := tandemHandle("update", object)
	defer span.EndFunc(nil)
	handler.OnUpdate(before, object)
}

func tandemOnDelete(handler ResourceEventHandler, object interface{}) {
	span := tandemHandle("delete", object)
	defer span.EndFunc(nil)
	handler.OnDelete(object)
}
