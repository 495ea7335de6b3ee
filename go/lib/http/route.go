package http

import (
	"unsafe"

	"tandem/rt"
)

// Route gives the request that runs on this goroutine the route that a framework has matched, a template such as
// /users/{id}. The span is its server's; where routers are nested the innermost one, which is the last, wins.
func Route(route string) {
	rt.LocalRoot(rt.KindServer).Replace(rt.KeyHTTPRoute, route)
}

// MountedRoute is Route for routers that are mounted in one another and know the pattern that each has matched: /api/* and
// /users/{id} are /api/users/{id}. A slash at the end does not count, as the pattern of a router's own root is one.
func MountedRoute(patterns []string) {
	root := rt.LocalRoot(rt.KindServer)
	if root == nil || len(patterns) == 0 {
		return
	}
	var room [routeLimit]byte
	root.Replace(rt.KeyHTTPRoute, mounted(&room, patterns)) // which copies it
}

// mounted is the route that the patterns make, in room if there is more than one.
func mounted(room *[routeLimit]byte, patterns []string) string {
	if len(patterns) == 1 {
		return withoutSlash(patterns[0])
	}
	size := 0
	for _, pattern := range patterns {
		if size >= 2 && room[size-1] == '*' && room[size-2] == '/' && pattern != "" && pattern[0] == '/' {
			size -= 2 // what the star stands for comes now
		}
		size += copy(room[size:], pattern)
	}
	return withoutSlash(unsafe.String(&room[0], size))
}

// routeLimit is where a joined route is cut.
const routeLimit = 256

func withoutSlash(route string) string {
	for len(route) > 1 && route[len(route)-1] == '/' {
		route = route[:len(route)-1]
	}
	return route
}
