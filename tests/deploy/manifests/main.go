// Manifests reads Kubernetes manifests as its API server would, strictly: every document must be of a kind and version that
// there is, and no field may be unknown, misspelt, given twice or of another type.
//
//	manifests FILE…
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			fail(err)
		}
	}
	codec := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for _, name := range os.Args[1:] {
		text, err := os.ReadFile(name)
		if err != nil {
			fail(err)
		}
		documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
		buffer := make([]byte, len(text)+1)
		for {
			length, err := documents.Read(buffer)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				fail(fmt.Errorf("%s: %w", name, err))
			}
			object, kind, err := codec.Decode(buffer[:length], nil, nil)
			if err != nil {
				fail(fmt.Errorf("%s: %w", name, err))
			}
			if problem := check(object); problem != "" {
				fail(fmt.Errorf("%s: %s: %s", name, kind.Kind, problem))
			}
			fmt.Printf("%s: %s is in order\n", name, kind)
		}
	}
}

// check looks at what types do not say: that the volumes that are mounted are there, and that a selector finds its pods.
func check(object runtime.Object) string {
	var template corev1.PodTemplateSpec
	var labels map[string]string
	switch typed := object.(type) {
	case *appsv1.DaemonSet:
		template, labels = typed.Spec.Template, typed.Spec.Selector.MatchLabels
	case *appsv1.Deployment:
		template, labels = typed.Spec.Template, typed.Spec.Selector.MatchLabels
	default:
		return ""
	}
	for key, value := range labels {
		if template.Labels[key] != value {
			return "the selector does not find its own pods: " + key
		}
	}
	volumes := map[string]bool{}
	for _, volume := range template.Spec.Volumes {
		volumes[volume.Name] = false
	}
	for _, container := range append(template.Spec.InitContainers, template.Spec.Containers...) {
		for _, mount := range container.VolumeMounts {
			if _, known := volumes[mount.Name]; !known {
				return container.Name + " mounts a volume that is not there: " + mount.Name
			}
			volumes[mount.Name] = true
		}
	}
	for name, mounted := range volumes {
		if !mounted {
			return "nobody mounts the volume " + name
		}
	}
	return ""
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
