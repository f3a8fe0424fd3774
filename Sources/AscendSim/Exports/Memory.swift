// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

// MARK: - Allocation

@c @implementation public func aclrtMalloc(
    _ devPtr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ size: Int, _ policy: aclrtMemMallocPolicy
) -> aclError {
    allocate("aclrtMalloc", devPtr, size, policy, extra: 32)
}

@c @implementation public func aclrtMallocAlign32(
    _ devPtr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ size: Int, _ policy: aclrtMemMallocPolicy
) -> aclError {
    allocate("aclrtMallocAlign32", devPtr, size, policy, extra: 0)
}

private func allocate(
    _ name: String, _ devPtr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ size: Int,
    _ policy: aclrtMemMallocPolicy, extra: Int
) -> aclError {
    world.enter(name) { world, thread throws(Failure) in
        let device = try thread.current().device
        try world.refuseUnsafe(thread, name)
        try require(size > 0 && size < 1 << 42, 107000, "\(name): size \(size)")
        try require(policy.rawValue <= 7, 107000, "\(name): policy \(policy.rawValue) is not one of the list")
        let bytes = (size + 31) / 32 * 32 + extra
        try world.requireRoom(DeviceMemory.charge(bytes), on: device)
        let address = try world.memory.allocate(bytes, device: device.id)
        try set(devPtr, UnsafeMutableRawPointer(bitPattern: address), "devPtr")
        thread.note = "\(size)"
    }
}

@c @implementation public func aclrtFree(_ devPtr: UnsafeMutableRawPointer?) -> aclError {
    world.enter("aclrtFree") { world, thread throws(Failure) in
        _ = try thread.current()
        try world.refuseUnsafe(thread, "aclrtFree")
        try world.memory.free(UInt(bitPattern: devPtr))
    }
}

@c @implementation public func aclrtMallocHost(
    _ hostPtr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ size: Int
) -> aclError {
    world.enter("aclrtMallocHost") { world, thread throws(Failure) in
        _ = try thread.current()
        try require(size > 0 && size < 1 << 40, 107000, "aclrtMallocHost: size \(size)")
        guard let pointer = aligned_alloc(64, (size + 63) / 64 * 64) else {
            throw Failure(207001, "aclrtMallocHost: no memory")
        }
        memset(pointer, 0xFF, size)
        world.pinned[UInt(bitPattern: pointer)] = size
        try set(hostPtr, pointer, "hostPtr")
    }
}

@c @implementation public func aclrtFreeHost(_ hostPtr: UnsafeMutableRawPointer?) -> aclError {
    world.enter("aclrtFreeHost") { world, _ throws(Failure) in
        guard world.pinned.removeValue(forKey: UInt(bitPattern: hostPtr)) != nil else {
            throw Failure(107000, "aclrtFreeHost: not from aclrtMallocHost, or freed already")
        }
        free(hostPtr)
    }
}

@c @implementation public func aclrtHostRegister(
    _ ptr: UnsafeMutableRawPointer?, _ size: UInt64, _ type: aclrtHostRegisterType,
    _ devPtr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> aclError {
    world.enter("aclrtHostRegister") { _, _ throws(Failure) in
        throw Failure(207000, "aclrtHostRegister: not simulated, use aclrtMallocHost")
    }
}

@c @implementation public func aclrtHostUnregister(_ ptr: UnsafeMutableRawPointer?) -> aclError {
    world.enter("aclrtHostUnregister") { _, _ throws(Failure) in
        throw Failure(107000, "aclrtHostUnregister: nothing is registered")
    }
}

@c @implementation public func aclrtPointerGetAttributes(
    _ ptr: UnsafeRawPointer?, _ attributes: UnsafeMutablePointer<aclrtPtrAttributes>?
) -> aclError {
    world.enter("aclrtPointerGetAttributes") { world, _ throws(Failure) in
        let extent = world.memory.extent(UInt(bitPattern: ptr))
        let location = aclrtMemLocation(
            id: UInt32(extent?.device ?? 0),
            type: extent == nil ? ACL_MEM_LOCATION_TYPE_HOST : ACL_MEM_LOCATION_TYPE_DEVICE)
        try set(attributes, aclrtPtrAttributes(location: location, pageSize: 4096, rsv: (0, 0, 0, 0)), "attributes")
    }
}

@c @implementation public func aclrtGetMemInfo(
    _ attr: aclrtMemAttr, _ free: UnsafeMutablePointer<Int>?, _ total: UnsafeMutablePointer<Int>?
) -> aclError {
    world.enter("aclrtGetMemInfo") { world, thread throws(Failure) in
        let device = try thread.current().device
        let used = world.memory.used[device.id] ?? 0
        try set(free, world.settings.memoryBytes - used, "free")
        try set(total, world.settings.memoryBytes, "total")
    }
}

// MARK: - Copies

@c @implementation public func aclrtMemset(
    _ devPtr: UnsafeMutableRawPointer?, _ maxCount: Int, _ value: Int32, _ count: Int
) -> aclError {
    world.enter("aclrtMemset") { world, thread throws(Failure) in
        try world.refuseUnsafe(thread, "aclrtMemset")
        try require(count >= 0 && count <= maxCount, 107000, "aclrtMemset: \(count) bytes into \(maxCount)")
        let device = try thread.current().device
        let place = try world.synchronous("aclrtMemset") { () throws(Failure) in
            try world.memory.contents(UInt(bitPattern: devPtr), count, device: device.id, "aclrtMemset")
        }
        memset(place, value, count)
    }
}

@c @implementation public func aclrtMemsetAsync(
    _ devPtr: UnsafeMutableRawPointer?, _ maxCount: Int, _ value: Int32, _ count: Int, _ stream: aclrtStream?
) -> aclError {
    world.enter("aclrtMemsetAsync") { world, thread throws(Failure) in
        let stream = try world.stream(stream, thread)
        try require(count >= 0 && count <= maxCount, 107000, "aclrtMemsetAsync: \(count) bytes into \(maxCount)")
        let address = UInt(bitPattern: devPtr)
        let device = stream.device.id
        let kernel = Kernel(name: "aclrtMemsetAsync", cost: Cost(bytes: count)) { world throws(Failure) in
            let place = try world.memory.contents(address, count, device: device, "aclrtMemsetAsync")
            return { () throws(Failure) in _ = memset(place, value, count) }
        }
        try stream.enqueue(.kernel(kernel), at: thread.clock)
    }
}

@c @implementation public func aclrtMemcpy(
    _ dst: UnsafeMutableRawPointer?, _ destMax: Int, _ src: UnsafeRawPointer?, _ count: Int, _ kind: aclrtMemcpyKind
) -> aclError {
    world.enter("aclrtMemcpy") { world, thread throws(Failure) in
        try world.refuseUnsafe(thread, "aclrtMemcpy")
        let device = try thread.current().device
        if let failure = device.failure { throw failure }
        let copy = Copy("aclrtMemcpy", dst, src, width: count, height: 1, dpitch: destMax, spitch: count, device.id)
        try copy.check(world, destination: destMax)
        let compute = try world.synchronous("aclrtMemcpy") { () throws(Failure) in try copy.bind(world) }
        try compute()
        thread.note = "\(count) \(copy.direction(world))"
    }
}

@c @implementation public func aclrtMemcpyAsync(
    _ dst: UnsafeMutableRawPointer?, _ destMax: Int, _ src: UnsafeRawPointer?, _ count: Int,
    _ kind: aclrtMemcpyKind, _ stream: aclrtStream?
) -> aclError {
    world.enter("aclrtMemcpyAsync") { world, thread throws(Failure) in
        let stream = try world.stream(stream, thread)
        let copy = Copy(
            "aclrtMemcpyAsync", dst, src, width: count, height: 1, dpitch: destMax, spitch: count, stream.device.id)
        try copy.check(world, destination: destMax)
        try world.copy(copy, on: stream, thread)
    }
}

@c @implementation public func aclrtMemcpy2d(
    _ dst: UnsafeMutableRawPointer?, _ dpitch: Int, _ src: UnsafeRawPointer?, _ spitch: Int, _ width: Int,
    _ height: Int, _ kind: aclrtMemcpyKind
) -> aclError {
    world.enter("aclrtMemcpy2d") { world, thread throws(Failure) in
        try world.refuseUnsafe(thread, "aclrtMemcpy2d")
        let device = try thread.current().device
        let copy = Copy(
            "aclrtMemcpy2d", dst, src, width: width, height: height, dpitch: dpitch, spitch: spitch, device.id)
        try copy.check(world, destination: dpitch)
        let compute = try world.synchronous("aclrtMemcpy2d") { () throws(Failure) in try copy.bind(world) }
        try compute()
    }
}

@c @implementation public func aclrtMemcpy2dAsync(
    _ dst: UnsafeMutableRawPointer?, _ dpitch: Int, _ src: UnsafeRawPointer?, _ spitch: Int, _ width: Int,
    _ height: Int, _ kind: aclrtMemcpyKind, _ stream: aclrtStream?
) -> aclError {
    world.enter("aclrtMemcpy2dAsync") { world, thread throws(Failure) in
        let stream = try world.stream(stream, thread)
        let copy = Copy(
            "aclrtMemcpy2dAsync", dst, src, width: width, height: height, dpitch: dpitch, spitch: spitch,
            stream.device.id)
        try copy.check(world, destination: dpitch)
        try world.copy(copy, on: stream, thread)
    }
}

@c @implementation public func aclrtCmoAsync(
    _ src: UnsafeMutableRawPointer?, _ size: Int, _ cmoType: aclrtCmoType, _ stream: aclrtStream?
) -> aclError {
    world.enter("aclrtCmoAsync") { world, thread throws(Failure) in
        let stream = try world.stream(stream, thread)
        let address = UInt(bitPattern: src)
        let device = stream.device.id
        let kernel = Kernel(name: "aclrtCmoAsync") { world throws(Failure) in
            _ = try world.memory.contents(address, size, device: device, "aclrtCmoAsync")
            return { () throws(Failure) in }
        }
        try stream.enqueue(.kernel(kernel), at: thread.clock)
    }
}

/// Rows of bytes from one place to another, either of which may be on the host.
struct Copy {
    let name: String
    let destination: UInt
    let source: UInt
    let width: Int
    let height: Int
    let dpitch: Int
    let spitch: Int
    let device: Int

    init(
        _ name: String, _ destination: UnsafeMutableRawPointer?, _ source: UnsafeRawPointer?, width: Int, height: Int,
        dpitch: Int, spitch: Int, _ device: Int
    ) {
        self.name = name
        self.destination = UInt(bitPattern: destination)
        self.source = UInt(bitPattern: source)
        self.width = width
        self.height = height
        self.dpitch = dpitch
        self.spitch = spitch
        self.device = device
    }

    func check(_ world: World, destination limit: Int) throws(Failure) {
        try require(destination != 0 && source != 0, 107000, "\(name): NULL")
        try require(width > 0 && height > 0 && width < 1 << 42 && height < 1 << 32, 107000, "\(name): \(width) bytes")
        try require(width <= limit && width <= spitch, 107000, "\(name): \(width) bytes into \(limit)")
        guard world.settings.profile.is310P else { return }
        for address in [source, destination] where world.memory.extent(address)?.isMapped == true {
            // As users of 310P report; no document says so.
            throw Failure(107017, "\(name): mapped memory has no physical address for copies on 310P")
        }
    }

    private var spans: (Int, Int) { ((height - 1) * dpitch + width, (height - 1) * spitch + width) }

    func direction(_ world: World) -> String {
        (world.memory.isDevice(source) ? "D" : "H") + "2" + (world.memory.isDevice(destination) ? "D" : "H")
    }

    func isPageable(_ world: World) -> Bool {
        !world.isPinnedOrDevice(destination, spans.0) || !world.isPinnedOrDevice(source, spans.1)
    }

    func bind(_ world: World) throws(Failure) -> () throws(Failure) -> Void {
        let to = try place(world, destination, spans.0)
        let from = try place(world, source, spans.1)
        guard world.settings.computes else { return { () throws(Failure) in } }
        return { () throws(Failure) in
            for row in 0..<height { memmove(to + row * dpitch, from + row * spitch, width) }
        }
    }

    private func place(_ world: World, _ address: UInt, _ bytes: Int) throws(Failure) -> UnsafeMutableRawPointer {
        if world.memory.isDevice(address) {
            return try world.memory.contents(address, bytes, device: device, name)
        }
        guard let pointer = UnsafeMutableRawPointer(bitPattern: address) else { throw Failure(107000, "\(name): NULL") }
        return pointer
    }
}

extension World {
    func isPinnedOrDevice(_ address: UInt, _ bytes: Int) -> Bool {
        memory.isDevice(address)
            || pinned.contains { address >= $0.key && address + UInt(bytes) <= $0.key + UInt($0.value) }
    }

    /// Puts a copy on a stream. With host memory that is not pinned the call returns only when it is done.
    func copy(_ copy: Copy, on stream: Stream, _ thread: ThreadState) throws(Failure) {
        let isPageable = copy.isPageable(self)
        if isPageable { try refuseUnsafe(thread, "\(copy.name) of host memory that is not pinned") }
        let bytes = copy.width * copy.height
        let kernel = Kernel(name: copy.name, cost: Cost(bytes: 2 * bytes)) { world throws(Failure) in
            // Host memory that was pinned at the call must not be gone by now.
            if !isPageable && copy.isPageable(world) {
                throw Failure(107000, "\(copy.name): host memory was freed before the copy was done")
            }
            return try copy.bind(world)
        }
        thread.note = "\(bytes) \(copy.direction(self))\(isPageable ? " pageable" : "")"
        try stream.enqueue(.kernel(kernel), at: thread.clock)
        guard isPageable && stream.capture == nil else { return }
        let target = stream.enqueued
        _ = lock.wait(milliseconds: -1) { stream.completed >= target }
        thread.clock = max(thread.clock, stream.clock)
    }

    /// Calls that a capture forbids on this thread, unless it asked for relaxed rules.
    func refuseUnsafe(_ thread: ThreadState, _ what: String) throws(Failure) {
        guard thread.captureMode != 2 else { return }
        let isForbidden = globalCaptures > 0 || thread.localCaptures > 0
        try require(!isForbidden, 107030, "\(what): not allowed while a stream captures")
    }

    func requireRoom(_ bytes: Int, on device: Device) throws(Failure) {
        let used = memory.used[device.id] ?? 0
        try require(
            used + bytes <= settings.memoryBytes, 207001,
            "device \(device.id) has \(settings.memoryBytes - used) of \(settings.memoryBytes) bytes free, \(bytes) wanted"
        )
        for fault in faults {
            if case .outOfMemory(let limit) = fault.kind, used + bytes > limit {
                throw Failure(207001, "planted fault: out of memory")
            }
        }
    }

    /// What a task would report later, a call that does not go through a stream returns at once.
    func synchronous<Value>(_ name: String, _ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        do {
            return try body()
        } catch {
            throw Failure(107000, error.message)
        }
    }
}

// MARK: - Virtual memory

private let granularity = 2 << 20

/// Memory that is not mapped yet, or is.
final class PhysicalMemory {
    let bytes: Int
    let device: Device
    /// Where it is mapped, 0 for nowhere.
    var address: UInt = 0
    /// Freed while mapped: goes with the mapping.
    var isFreed = false

    init(_ bytes: Int, _ device: Device) {
        self.bytes = bytes
        self.device = device
    }
}

@c @implementation public func aclrtReserveMemAddress(
    _ virPtr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ size: Int, _ alignment: Int,
    _ expectPtr: UnsafeMutableRawPointer?, _ flags: UInt64
) -> aclError {
    world.enter("aclrtReserveMemAddress") { world, thread throws(Failure) in
        _ = try thread.current()
        try require(alignment == 0, 107000, "aclrtReserveMemAddress: alignment must be 0")
        try require(expectPtr == nil, 107000, "aclrtReserveMemAddress: expectPtr is not simulated")
        try require(flags <= 1, 107000, "aclrtReserveMemAddress: flags are 0 or 1")
        try require(
            size > 0 && size < 1 << 42 && size % granularity == 0, 107000,
            "aclrtReserveMemAddress: size \(size) is no multiple of \(granularity)")
        try set(virPtr, UnsafeMutableRawPointer(bitPattern: try world.memory.reserve(size)), "virPtr")
    }
}

@c @implementation public func aclrtReleaseMemAddress(_ virPtr: UnsafeMutableRawPointer?) -> aclError {
    world.enter("aclrtReleaseMemAddress") { world, _ throws(Failure) in
        try world.memory.release(UInt(bitPattern: virPtr))
    }
}

@c @implementation public func aclrtMallocPhysical(
    _ handle: UnsafeMutablePointer<aclrtDrvMemHandle?>?, _ size: Int, _ prop: UnsafePointer<aclrtPhysicalMemProp>?,
    _ flags: UInt64
) -> aclError {
    world.enter("aclrtMallocPhysical") { world, thread throws(Failure) in
        _ = try thread.current()
        guard let prop = prop?.pointee else { throw Failure(107000, "aclrtMallocPhysical: prop is NULL") }
        try require(flags == 0, 107000, "aclrtMallocPhysical: flags must be 0")
        try require(prop.location.type == ACL_MEM_LOCATION_TYPE_DEVICE, 107000, "aclrtMallocPhysical: not on a device")
        try require(
            size > 0 && size % granularity == 0, 107000, "aclrtMallocPhysical: \(size) is no multiple of \(granularity)"
        )
        let device = try world.device(Int32(bitPattern: prop.location.id))
        let unmapped = world.handles.values.reduce(0) { total, object in
            guard let memory = object as? PhysicalMemory, memory.device === device, memory.address == 0 else {
                return total
            }
            return total + memory.bytes
        }
        try world.requireRoom(size + unmapped, on: device)
        try set(handle, world.register(PhysicalMemory(size, device)), "handle")
        thread.note = "\(size)"
    }
}

@c @implementation public func aclrtFreePhysical(_ handle: aclrtDrvMemHandle?) -> aclError {
    world.enter("aclrtFreePhysical") { world, _ throws(Failure) in
        let memory = try world.object(handle, PhysicalMemory.self, 107017, "handle")
        try require(!memory.isFreed, 107017, "aclrtFreePhysical: freed already")
        memory.isFreed = true
        if memory.address == 0 { world.forget(handle) }
    }
}

@c @implementation public func aclrtMapMem(
    _ virPtr: UnsafeMutableRawPointer?, _ size: Int, _ offset: Int, _ handle: aclrtDrvMemHandle?, _ flags: UInt64
) -> aclError {
    world.enter("aclrtMapMem") { world, _ throws(Failure) in
        let memory = try world.object(handle, PhysicalMemory.self, 107017, "handle")
        try require(offset == 0 && flags == 0, 107000, "aclrtMapMem: offset and flags must be 0")
        try require(
            size == memory.bytes, 107000, "aclrtMapMem: size \(size) is not that of the handle, \(memory.bytes)")
        try require(memory.address == 0, 107000, "aclrtMapMem: the memory is mapped already")
        try require(UInt(bitPattern: virPtr) % UInt(granularity) == 0, 107000, "aclrtMapMem: address is not aligned")
        try world.memory.map(UInt(bitPattern: virPtr), size, device: memory.device.id)
        memory.address = UInt(bitPattern: virPtr)
    }
}

@c @implementation public func aclrtUnmapMem(_ virPtr: UnsafeMutableRawPointer?) -> aclError {
    world.enter("aclrtUnmapMem") { world, _ throws(Failure) in
        let address = UInt(bitPattern: virPtr)
        try world.memory.unmap(address)
        for (key, object) in world.handles {
            guard let memory = object as? PhysicalMemory, memory.address == address else { continue }
            memory.address = 0
            if memory.isFreed { world.handles[key] = nil }
        }
    }
}

@c @implementation public func aclrtMemGetAllocationGranularity(
    _ prop: UnsafeMutablePointer<aclrtPhysicalMemProp>?, _ option: aclrtMemGranularityOptions,
    _ granularity: UnsafeMutablePointer<Int>?
) -> aclError {
    world.enter("aclrtMemGetAllocationGranularity") { _, _ throws(Failure) in
        try require(prop != nil, 107000, "aclrtMemGetAllocationGranularity: prop is NULL")
        try set(granularity, 2 << 20, "granularity")
    }
}
