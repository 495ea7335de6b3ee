//go:build linux && (amd64 || arm64)

package rt

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// For readers that are not ours: OpenTelemetry's process context (OTEP 4719) in a memory mapping that a stranger finds by its
// name, with the resource, and with where the record of the span that a goroutine is in lies. That record, at the beginning of
// Span, has the layout of OTEP 4947. docs/interoperation.md is for who reads it.

const (
	memfdNoexecSeal   = 8
	mapPrivate        = syscall.MAP_PRIVATE
	adviseDontFork    = 10
	setVMA            = 0x53564d41
	setVMAName        = 0
	clockBoottime     = 7
	processContextVer = 2
)

// processContext is the mapping's head. The payload follows it.
type processContext struct {
	signature [8]byte
	version   uint32
	size      uint32
	published uint64 // CLOCK_BOOTTIME, ns; written last
	payload   uint64 // its address
}

// An initialiser of its own, after the memory's.
var _ = memory != nil && settings.shareContext && publishContext((*headerLayout)(memory))

// publishContext makes the mapping. Where that is refused there is none, and nobody is the worse for it.
func publishContext(header *headerLayout) bool {
	payload := contextPayload(header)
	size := (unsafe.Sizeof(processContext{}) + uintptr(len(payload)) + page - 1) &^ (page - 1)
	name := []byte("OTEL_CTX\x00")
	file, _, failure := syscall.Syscall(sysMemfdCreate, uintptr(unsafe.Pointer(&name[0])), memfdCloexec|memfdAllowSealing|memfdNoexecSeal, 0)
	if failure == syscall.EINVAL { // before Linux 6.3
		file, _, failure = syscall.Syscall(sysMemfdCreate, uintptr(unsafe.Pointer(&name[0])), memfdCloexec|memfdAllowSealing, 0)
	}
	flags, hasFile := uintptr(mapPrivate), failure == 0
	if hasFile && syscall.Ftruncate(int(file), int64(size)) != nil {
		syscall.Close(int(file))
		hasFile = false
	}
	if !hasFile {
		file, flags = ^uintptr(0), mapPrivate|syscall.MAP_ANON
	}
	address, _, failure := syscall.Syscall6(syscall.SYS_MMAP, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, flags, file, 0)
	if hasFile {
		syscall.Close(int(file))
	}
	if failure != 0 {
		debug("no process context: ", failure.Error())
		return false
	}
	syscall.Syscall(syscall.SYS_MADVISE, address, size, adviseDontFork)
	context := *(**processContext)(unsafe.Pointer(&address)) // outside the heap
	copy(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(context), unsafe.Sizeof(*context))), len(payload)), payload)
	context.signature = [8]byte{'O', 'T', 'E', 'L', '_', 'C', 'T', 'X'}
	context.version, context.size = processContextVer, uint32(len(payload))
	context.payload = uint64(address) + uint64(unsafe.Sizeof(*context))
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&now)), 0)
	atomic.StoreUint64(&context.published, uint64(now.Sec)*1e9+uint64(now.Nsec)|1)
	syscall.Syscall6(syscall.SYS_PRCTL, setVMA, setVMAName, address, size, uintptr(unsafe.Pointer(&name[0])), 0)
	return true
}

// contextPayload is a ProcessContext message.
func contextPayload(header *headerLayout) []byte {
	var resource, more []byte
	service := env("OTEL_SERVICE_NAME")
	attributes := env("OTEL_RESOURCE_ATTRIBUTES")
	for rest := true; rest; {
		var pair, key string
		pair, attributes, rest = cutAt(attributes, ',')
		key, value, found := cutAt(pair, '=')
		key, value = unescaped(trimBlanks(key)), unescaped(trimBlanks(value))
		switch {
		case !found || key == "":
		case key == "service.name":
			if service == "" {
				service = value
			}
		default:
			resource = appendText(resource, ofResource, key, value)
		}
	}
	if service == "" {
		service = "unknown_service:" + executableName()
	}
	resource = appendText(resource, ofResource, "service.name", service)
	resource = appendText(resource, ofResource, "telemetry.sdk.name", "tandem")
	resource = appendText(resource, ofResource, "telemetry.sdk.language", "go")
	resource = appendText(resource, ofResource, "telemetry.sdk.version", tandemVersion)
	resource = appendText(resource, ofResource, "process.runtime.name", "go")
	resource = appendText(resource, ofResource, "process.runtime.version", runtime.Version())

	switch {
	case labelling:
		more = appendText(more, ofProcess, "threadlocal.schema_version", "go_pprof_labels_v1")
	case header.flags&headerHasAccounts != 0:
		more = appendText(more, ofProcess, "threadlocal.schema_version", "tandem_goroutine_v1_dev")
	}
	if header.flags&headerHasAccounts != 0 {
		more = appendInt(more, ofProcess, "tandem.goroutine.tls_offset", header.tlsGOffset)
		more = appendInt(more, ofProcess, "tandem.goroutine.m_offset", int64(header.gMOffset))
		more = appendInt(more, ofProcess, "tandem.goroutine.curg_offset", int64(header.mCurgOffset))
		more = appendInt(more, ofProcess, "tandem.goroutine.context_offset", int64(uintptr(header.slotOffset)+unsafe.Offsetof(slot{}.context)))
		more = appendInt(more, ofProcess, "tandem.goroutine.record_offset", int64(unsafe.Offsetof(Span{}.trace)))
	}
	return append(appendMessage(nil, 1, resource), more...)
}

// The fields of OpenTelemetry's messages that hold attributes.
const (
	ofResource = 1
	ofProcess  = 2
)

func appendText(to []byte, field byte, key, value string) []byte {
	return appendAttribute(to, field, key, appendMessage(nil, 1, []byte(string([]rune(value))))) // with what is not UTF-8 replaced
}

func appendInt(to []byte, field byte, key string, value int64) []byte {
	return appendAttribute(to, field, key, appendVarint([]byte{3 << 3}, uint64(value)))
}

func appendAttribute(to []byte, field byte, key string, value []byte) []byte {
	return appendMessage(to, field, appendMessage(appendMessage(nil, 1, []byte(string([]rune(key)))), 2, value))
}

// appendMessage appends a field with a length.
func appendMessage(to []byte, field byte, message []byte) []byte {
	return append(appendVarint(append(to, field<<3|2), uint64(len(message))), message...)
}

func appendVarint(to []byte, value uint64) []byte {
	for value >= 0x80 {
		to = append(to, byte(value)|0x80)
		value >>= 7
	}
	return append(to, byte(value))
}

// unescaped undoes percent-encoding, where it is some.
func unescaped(text string) string {
	for index := 0; index < len(text); index++ {
		if text[index] == '%' && !(index+2 < len(text) && isHex(text[index+1]) && isHex(text[index+2])) {
			return text
		}
	}
	return decodeBaggage(text)
}
