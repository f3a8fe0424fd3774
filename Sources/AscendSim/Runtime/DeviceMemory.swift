internal import Glibc

/// Memory of all simulated devices: addresses that fault when the host touches them, and a second view at a fixed distance
/// which only the simulator uses. Addresses are never given twice, so that a stale one is always told from a live one.
///
/// Fresh memory reads as all ones, NaN in every float type: pages of one such file are mapped until they are written.
final class DeviceMemory {
    /// A run of addresses that are backed.
    struct Extent {
        let base: UInt
        let bytes: Int
        /// Bytes that count against the device: whole pages.
        let charged: Int
        let device: Int
        let isMapped: Bool
    }

    /// Bytes of addresses, used once each between two starts of the machine.
    static let span: UInt = 512 << 30
    private let base: UInt
    /// What is added to an address to get at its contents.
    private let distance: UInt
    private var next: UInt
    private let first: UInt = 2 << 20
    private let poison: Int32
    private static let poisonBytes = 16 << 20
    /// By ascending base.
    private(set) var extents: [Extent] = []
    /// Reserved ranges: base to bytes.
    private(set) var reserved: [UInt: Int] = [:]
    private(set) var used: [Int: Int] = [:]

    init() {
        base = Self.reserve()
        distance = Self.reserve() &- base
        next = base + first
        var path = Array("/tmp/ascendsim-XXXXXX".utf8CString)
        poison = mkstemp(&path)
        unlink(path)
        precondition(poison >= 0 && ftruncate(poison, Self.poisonBytes) == 0, "no memory for fresh pages")
        let page = mmap(nil, Self.poisonBytes, PROT_READ | PROT_WRITE, MAP_SHARED, poison, 0)
        guard let page, page != MAP_FAILED else { preconditionFailure("no memory for fresh pages") }
        memset(page, 0xFF, Self.poisonBytes)
        munmap(page, Self.poisonBytes)
    }

    private static func reserve() -> UInt {
        let start = mmap(nil, Int(span), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        precondition(start != MAP_FAILED, "no addresses for device memory")
        return UInt(bitPattern: start)
    }

    // MARK: Looking up

    /// Whether an address is one of a device, live or not.
    func isDevice(_ address: UInt) -> Bool { address >= base && address < base + Self.span }

    /// The extent that an address is in.
    func extent(_ address: UInt) -> Extent? {
        var low = 0
        var high = extents.count
        while low < high {
            let middle = (low + high) / 2
            if extents[middle].base <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let extent = extents[low - 1]
        return address < extent.base + UInt(extent.bytes) ? extent : nil
    }

    /// Where the contents of a range are, which must be backed throughout by memory of one device.
    func contents(_ address: UInt, _ bytes: Int, device: Int, _ what: String) throws(Failure) -> UnsafeMutableRawPointer
    {
        guard isDevice(address) else {
            throw Failure(507015, "\(what): 0x\(String(address, radix: 16)) is not an address of a device")
        }
        var position = address
        let end = address + UInt(max(bytes, 1))
        while position < end {
            guard let extent = extent(position) else {
                throw Failure(
                    507015,
                    "\(what): \(bytes) bytes at 0x\(String(address, radix: 16)) reach beyond live memory at +\(position - address)"
                )
            }
            guard extent.device == device else {
                throw Failure(507015, "\(what): memory of device \(extent.device) used on device \(device)")
            }
            position = extent.base + UInt(extent.bytes)
        }
        guard let pointer = UnsafeMutableRawPointer(bitPattern: address &+ distance) else {
            throw Failure(507015, "\(what): NULL")
        }
        return pointer
    }

    /// Loses what is in some bytes of a device, counted from the lowest of its memory: they read as ones.
    func rot(device: Int, offset: Int, bytes: Int) {
        guard let extent = extents.first(where: { $0.device == device }), offset + bytes <= extent.bytes else { return }
        let place = UnsafeMutableRawPointer(bitPattern: extent.base &+ distance &+ UInt(offset))
        if let place { memset(place, 0xFF, bytes) }
    }

    // MARK: Allocation

    /// Backs fresh addresses. The caller has seen to the limit.
    func allocate(_ bytes: Int, device: Int) throws(Failure) -> UInt {
        let address = try takeAddresses(bytes)
        back(address, bytes, device: device, isMapped: false)
        return address
    }

    func free(_ address: UInt) throws(Failure) {
        guard let index = extents.firstIndex(where: { $0.base == address && !$0.isMapped }) else {
            throw Failure(107000, "aclrtFree: 0x\(String(address, radix: 16)) was not allocated, or is freed already")
        }
        unback(index)
    }

    private func takeAddresses(_ bytes: Int) throws(Failure) -> UInt {
        // A page at least lies between two ranges.
        let alignment: UInt = bytes > 1 << 20 ? 1 << 21 : 1 << 12
        let address = (next + alignment - 1) & ~(alignment - 1)
        let end = address + UInt(bytes) + 1 << 12
        guard end < base + Self.span else { throw Failure(207001, "the simulated machine has no fresh addresses left") }
        next = end
        return address
    }

    static func charge(_ bytes: Int) -> Int {
        let page = bytes > 1 << 20 ? 1 << 21 : 1 << 12
        return (bytes + page - 1) / page * page
    }

    private func back(_ address: UInt, _ bytes: Int, device: Int, isMapped: Bool) {
        var done = 0
        while done < bytes {
            let part = min(Self.poisonBytes, bytes - done)
            let place = UnsafeMutableRawPointer(bitPattern: address &+ distance &+ UInt(done))
            let result = mmap(
                place, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, poison, 0)
            precondition(result != MAP_FAILED, "this machine has no memory left to simulate with")
            done += part
        }
        let extent = Extent(
            base: address, bytes: bytes, charged: isMapped ? bytes : Self.charge(bytes), device: device,
            isMapped: isMapped)
        let index = extents.firstIndex { $0.base > address } ?? extents.count
        extents.insert(extent, at: index)
        used[device, default: 0] += extent.charged
    }

    private func unback(_ index: Int) {
        let extent = extents.remove(at: index)
        used[extent.device, default: 0] -= extent.charged
        gone.append(extent)
        if computing == 0 { discard() }
    }

    // MARK: Kernels at work

    /// Kernels that compute right now. What they found stays backed until none does, even when it was freed meanwhile.
    private var computing = 0
    private var gone: [Extent] = []

    func beginComputing() { computing += 1 }

    func endComputing() {
        computing -= 1
        if computing == 0 { discard() }
    }

    private func discard() {
        for extent in gone {
            let whole = (extent.bytes + 4095) / 4096 * 4096
            // Memory that was mapped there again since is not touched.
            if extents.contains(where: { $0.base < extent.base + UInt(whole) && extent.base < $0.base + UInt($0.bytes) }
            ) {
                continue
            }
            mmap(
                UnsafeMutableRawPointer(bitPattern: extent.base &+ distance), whole, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0)
        }
        gone = []
    }

    // MARK: Reserved addresses

    func reserve(_ bytes: Int) throws(Failure) -> UInt {
        let address = try takeAddresses(max(bytes, 1 << 21))
        reserved[address] = bytes
        return address
    }

    func release(_ address: UInt) throws(Failure) {
        guard let bytes = reserved[address] else { throw Failure(107000, "aclrtReleaseMemAddress: not reserved") }
        guard !extents.contains(where: { $0.base >= address && $0.base < address + UInt(bytes) }) else {
            throw Failure(107000, "aclrtReleaseMemAddress: memory is still mapped there")
        }
        reserved[address] = nil
    }

    /// Maps fresh memory. It is lost when it is unmapped: nobody maps the same memory twice.
    func map(_ address: UInt, _ bytes: Int, device: Int) throws(Failure) {
        let range = reserved.first { address >= $0.key && address + UInt(bytes) <= $0.key + UInt($0.value) }
        guard let range else { throw Failure(107000, "aclrtMapMem: addresses are not reserved") }
        for extent in extents where extent.base >= range.key && extent.base < range.key + UInt(range.value) {
            guard extent.base + UInt(extent.bytes) <= address || extent.base >= address + UInt(bytes) else {
                throw Failure(107000, "aclrtMapMem: something is mapped there already")
            }
            guard extent.device == device else {
                throw Failure(107000, "aclrtMapMem: a reserved range must not mix devices")
            }
        }
        back(address, bytes, device: device, isMapped: true)
    }

    func unmap(_ address: UInt) throws(Failure) {
        guard let index = extents.firstIndex(where: { $0.base == address && $0.isMapped }) else {
            throw Failure(107000, "aclrtUnmapMem: nothing is mapped at that address")
        }
        unback(index)
    }

    /// Forgets everything of a device, as a reset does.
    func dropAll(device: Int) {
        for index in extents.indices.reversed() where extents[index].device == device { unback(index) }
    }

    /// Nothing that was there is known any more, and all addresses are fresh again if nobody computes.
    func restart() {
        reserved = [:]
        used = [:]
        if extents.isEmpty && computing == 0 { next = base + first }
    }
}
