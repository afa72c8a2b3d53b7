// Package pkg declares what networkd offers on zbus, in its old form (wire 0) and its new one (wire 1), for zbusc to make stubs of.
package pkg

import (
	"context"
	"net"
)

type Peer struct {
	Subnet      net.IPNet
	WGPublicKey string
	AllowedIPs  []net.IPNet
	Endpoint    string
}

type NetResource struct {
	Name           string
	NetID          string
	NetworkIPRange net.IPNet
	NodeID         string
	Subnet         net.IPNet
	WGPrivateKey   string
	WGPublicKey    string
	WGListenPort   uint16
	Peers          []Peer
}

type Mycelium struct {
	Key   []byte
	Peers []string
}

type Network struct {
	NetID          string
	NetworkIPRange net.IPNet
	Subnet         net.IPNet
	WGPrivateKey   string
	WGListenPort   uint16
	Peers          []Peer
	Mycelium       *Mycelium
}

type JoinConfig struct {
	IPs         []string
	PublicIP6   bool
	YggdrasilIP bool
}

type Member struct {
	Namespace   string
	IPv6        net.IP
	IPv4        net.IP
	YggdrasilIP net.IP
}

type Interface struct {
	Name string
	IPs  []net.IPNet
	Mac  string
}

type Interfaces struct{ Interfaces map[string]Interface }

type PublicConfig struct {
	Type   string
	IPv4   net.IPNet
	IPv6   net.IPNet
	GW4    net.IP
	GW6    net.IP
	Domain string
}

type PublicAddress struct {
	PublicConfig
	HasPublicConfig bool
}

type ExitDevice struct {
	IsSingle        bool
	IsDual          bool
	AsDualInterface string
}

type Metric struct{ NetRxPackets, NetTxPackets, NetRxBytes, NetTxBytes uint64 }

type Metrics map[string]Metric

type Addresses []net.IPNet

type Seed struct{ Seed []byte }

type PlanetaryTap struct {
	Name    string
	HW      net.HardwareAddr
	IP      net.IPNet
	Gateway net.IPNet
}

// Old is networkd of zos 0.4.
type Old interface {
	Ready() error
	CreateNR(NetResource) (string, error)
	DeleteNR(NetResource) error
	Join(network string, container string, config JoinConfig) (Member, error)
	Leave(network string, container string) error
	ZDBPrepare(mac []byte) (string, error)
	SetupTap(network string) (string, error)
	TapExists(network string) (bool, error)
	RemoveTap(network string) error
	PublicIPv4Support() bool
	SetupPubTap(id string) (string, error)
	PubTapExists(id string) (bool, error)
	GetSubnet(network string) (net.IPNet, error)
	GetNet(network string) (net.IPNet, error)
	GetPublicIPv6Subnet() (net.IPNet, error)
	GetDefaultGwIP(network string) (net.IP, net.IP, error)
	GetIPv6From4(network string, ip net.IP) (net.IPNet, error)
	Addrs(iface string, netns string) ([]net.IP, error)
	ZOSAddresses(context.Context) <-chan Addresses
	YggAddresses(context.Context) <-chan Addresses
	PublicAddresses(context.Context) <-chan Addresses
}

// New is networkd of zos 3. Missing is a method that no networkd has.
type New interface {
	Ready() error
	Missing(a string, b int) (PlanetaryTap, error)
	CreateNR(workload string, network Network) (string, error)
	DeleteNR(workload string) error
	Namespace(network string) string
	SetupPrivTap(network string, name string) (string, error)
	SetupMyceliumTap(name string, network string, seed Seed) (PlanetaryTap, error)
	TapExists(name string) (bool, error)
	RemoveTap(name string) error
	GetSubnet(network string) (net.IPNet, error)
	GetNet(network string) (net.IPNet, error)
	GetDefaultGwIP(network string) (net.IP, net.IP, error)
	Interfaces(iface string, netns string) (Interfaces, error)
	Addrs(iface string, netns string) ([]net.IP, string, error)
	WireguardPorts() ([]uint, error)
	PublicIPv4Support() bool
	PubIPFilterExists(filter string) bool
	QSFSPrepare(id string) (string, string, error)
	GetPublicIPV6Gateway() (net.IP, error)
	SetPublicConfig(config PublicConfig) error
	GetPublicConfig() (PublicConfig, error)
	GetPublicExitDevice() (ExitDevice, error)
	Metrics() (Metrics, error)
	ZOSAddresses(context.Context) <-chan Addresses
	DMZAddresses(context.Context) <-chan Addresses
	PublicAddresses(context.Context) <-chan PublicAddress
}
