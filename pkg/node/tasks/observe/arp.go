package observe

import (
	"bytes"
	"encoding/binary"
	"net"
)

// ARP over Ethernet for IPv4, RFC 826.
const (
	etherTypeARP  = 0x0806
	etherTypeIPv4 = 0x0800
	etherHeader   = 14
	arpLength     = etherHeader + 28
	arpRequest    = 1
)

// arpFrame is a broadcast request for an address. The sender's address is
// zero, as in a probe of RFC 5227, so that nobody's table changes by it.
func arpFrame(sender net.HardwareAddr, target net.IP) []byte {
	f := make([]byte, 0, arpLength)
	f = append(f, bytes.Repeat([]byte{0xff}, 6)...)
	f = append(f, sender...)
	f = binary.BigEndian.AppendUint16(f, etherTypeARP)
	f = binary.BigEndian.AppendUint16(f, 1) // Ethernet
	f = binary.BigEndian.AppendUint16(f, etherTypeIPv4)
	f = append(f, 6, 4) // lengths of the addresses
	f = binary.BigEndian.AppendUint16(f, arpRequest)
	f = append(f, sender...)
	f = append(f, 0, 0, 0, 0)
	f = append(f, 0, 0, 0, 0, 0, 0)
	return append(f, target.To4()...)
}

// arpAnswer tells who says, in a frame, that it has an address: replies, and
// any other ARP message of its holder.
func arpAnswer(frame []byte, address net.IP, self net.HardwareAddr) net.HardwareAddr {
	if len(frame) < arpLength || binary.BigEndian.Uint16(frame[12:]) != etherTypeARP {
		return nil
	}
	sender, ip := net.HardwareAddr(frame[22:28]), net.IP(frame[28:32])
	if !ip.Equal(address) || bytes.Equal(sender, self) {
		return nil
	}
	return bytes.Clone(sender)
}
