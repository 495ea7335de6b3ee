// Uses client-go in all ways that the pack tells apart. The API's server is in server.go.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-28s %s\n", operation, text)
}

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

func main() {
	ctx := context.Background()
	server := httptest.NewServer(new(api))
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL, BearerToken: "secret"})
	must(err)
	shop := client.Resource(pods).Namespace("shop")
	requests(ctx, shop)
	failures(ctx, client)
	request(shop)
	inform(ctx, shop)
	server.Close()
}

func requests(ctx context.Context, shop dynamic.ResourceInterface) {
	_, err := shop.List(ctx, metav1.ListOptions{LabelSelector: "app=shop"})
	did("list", err)
	_, err = shop.Get(ctx, "cart", metav1.GetOptions{})
	did("get", err)
	_, err = shop.Create(ctx, pod("cart"), metav1.CreateOptions{})
	did("create", err)
	_, err = shop.Update(ctx, pod("cart"), metav1.UpdateOptions{})
	did("update", err)
	_, err = shop.UpdateStatus(ctx, pod("cart"), metav1.UpdateOptions{})
	did("update status", err)
	_, err = shop.Patch(ctx, "cart", types.MergePatchType, []byte(`{"spec":{"secret":true}}`), metav1.PatchOptions{})
	did("patch", err)
	did("delete", shop.Delete(ctx, "cart", metav1.DeleteOptions{}))
	did("deletecollection", shop.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
}

func failures(ctx context.Context, client dynamic.Interface) {
	shop := client.Resource(pods).Namespace("shop")
	_, err := shop.Get(ctx, "nowhere", metav1.GetOptions{})
	did("get, not found", err)
	_, err = shop.Get(ctx, "busy", metav1.GetOptions{})
	did("get, tried again", err)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = shop.Get(gone, "cart", metav1.GetOptions{})
	did("get, cancelled", err)
	nobody, err := dynamic.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1"})
	must(err)
	_, err = nobody.Resource(pods).Get(ctx, "cart", metav1.GetOptions{})
	did("get, nobody there", err)
}

// request asks while it serves a request.
func request(shop dynamic.ResourceInterface) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := shop.Get(r.Context(), "cart", metav1.GetOptions{})
		must(err)
	}))
	response, err := http.Get(server.URL)
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Close()
}

// inform has an informer see a pod come, change and go.
func inform(ctx context.Context, shop dynamic.ResourceInterface) {
	seconds := int64(600)
	lister := &cache.ListWatch{
		ListFunc: func(options metav1.ListOptions) (runtime.Object, error) { return shop.List(ctx, options) },
		WatchFunc: func(options metav1.ListOptions) (watch.Interface, error) {
			options.TimeoutSeconds = &seconds // else as long as chance will have it
			return shop.Watch(ctx, options)
		},
	}
	informer := cache.NewSharedInformer(lister, &unstructured.Unstructured{}, 0)
	gone, stop := make(chan bool), make(chan struct{})
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { fmt.Println("a pod has come") },
		UpdateFunc: func(any, any) { fmt.Println("a pod has changed") },
		DeleteFunc: func(any) { fmt.Println("a pod has gone"); gone <- true },
	})
	must(err)
	ended := make(chan bool)
	go func() { informer.Run(stop); close(ended) }()
	<-gone
	close(stop)
	<-ended
}
