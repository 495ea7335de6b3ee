package rpc

// tandemSystem is the protocol's name; the conventions have none for it.
const tandemSystem = "net_rpc"
