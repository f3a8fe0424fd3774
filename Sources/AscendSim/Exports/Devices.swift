// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclInit(_ configPath: UnsafePointer<CChar>?) -> aclError {
    world.enter("aclInit", needsInit: false) { world, _ throws(Failure) in
        try require(!world.isInitialised, 100002, "aclInit: already initialised")
        world.isInitialised = true
    }
}

@c @implementation public func aclFinalize() -> aclError {
    world.enter("aclFinalize", needsInit: false) { world, _ throws(Failure) in
        try require(world.isInitialised, 100037, "aclFinalize: not initialised")
        world.isInitialised = false
    }
}

@c @implementation public func aclFinalizeReference(_ refCount: UnsafeMutablePointer<UInt64>?) -> aclError {
    world.enter("aclFinalizeReference", needsInit: false) { world, _ throws(Failure) in
        try require(world.isInitialised, 100037, "aclFinalizeReference: not initialised")
        world.isInitialised = false
        refCount?.pointee = 0
    }
}

@c @implementation public func aclrtGetVersion(
    _ majorVersion: UnsafeMutablePointer<Int32>?, _ minorVersion: UnsafeMutablePointer<Int32>?,
    _ patchVersion: UnsafeMutablePointer<Int32>?
) -> aclError {
    world.enter("aclrtGetVersion", needsInit: false) { world, _ throws(Failure) in
        let version = world.settings.release.runtimeVersion
        try set(majorVersion, version.0, "majorVersion")
        try set(minorVersion, version.1, "minorVersion")
        try set(patchVersion, version.2, "patchVersion")
    }
}

@c @implementation public func aclsysGetVersionStr(
    _ pkgName: UnsafeMutablePointer<CChar>?, _ versionStr: UnsafeMutablePointer<CChar>?
) -> aclError {
    world.enter("aclsysGetVersionStr", needsInit: false) { world, _ throws(Failure) in
        guard let versionStr else { throw Failure(100000, "aclsysGetVersionStr: versionStr is NULL") }
        strcpy(versionStr, world.settings.release.rawValue + ".0")
    }
}

@c @implementation public func aclsysGetVersionNum(
    _ pkgName: UnsafeMutablePointer<CChar>?, _ versionNum: UnsafeMutablePointer<Int32>?
) -> aclError {
    world.enter("aclsysGetVersionNum", needsInit: false) { world, _ throws(Failure) in
        try set(versionNum, world.settings.release == .v91 ? 90_100_000 : 80_500_000, "versionNum")
    }
}

@c @implementation public func aclGetRecentErrMsg() -> UnsafePointer<CChar>? {
    world.lock.lock()
    defer { world.lock.unlock() }
    let thread = world.thread()
    free(thread.spoken)
    thread.spoken = thread.message.flatMap { strdup($0) }
    thread.message = nil
    return UnsafePointer(thread.spoken)
}

@c @implementation public func aclrtPeekAtLastError(_ level: aclrtLastErrLevel) -> aclError {
    world.lock.lock()
    defer { world.lock.unlock() }
    return world.thread().lastError
}

@c @implementation public func aclrtGetLastError(_ level: aclrtLastErrLevel) -> aclError {
    world.lock.lock()
    defer { world.lock.unlock() }
    let thread = world.thread()
    defer { thread.lastError = 0 }
    return thread.lastError
}

// Names outlive every caller; there are as many as profiles.
private let socNames: [String: Text] = Dictionary(uniqueKeysWithValues: Profile.all.map { ($0.name, Text($0.name)) })

private struct Text: @unchecked Sendable {  // Written once, before anybody has it.
    let pointer: UnsafePointer<CChar>
    init(_ text: String) { pointer = UnsafePointer(strdup(text)) }
}

@c @implementation public func aclrtGetSocName() -> UnsafePointer<CChar>? {
    world.lock.lock()
    defer { world.lock.unlock() }
    return socNames[world.settings.profile.name]?.pointer
}

@c @implementation public func aclrtGetDeviceCount(_ count: UnsafeMutablePointer<UInt32>?) -> aclError {
    world.enter("aclrtGetDeviceCount") { world, _ throws(Failure) in
        try set(count, UInt32(world.devices.count), "count")
    }
}

@c @implementation public func aclrtSetDevice(_ deviceId: Int32) -> aclError {
    world.enter("aclrtSetDevice") { world, thread throws(Failure) in
        let device = try world.device(deviceId)
        let context = device.primary ?? Context(device)
        device.primary = context
        device.uses += 1
        thread.context = context
    }
}

@c @implementation public func aclrtGetDevice(_ deviceId: UnsafeMutablePointer<Int32>?) -> aclError {
    world.enter("aclrtGetDevice") { world, thread throws(Failure) in
        try set(deviceId, Int32(try thread.current().device.id), "deviceId")
    }
}

@c @implementation public func aclrtResetDevice(_ deviceId: Int32) -> aclError {
    world.enter("aclrtResetDevice") { world, thread throws(Failure) in
        let device = try world.device(deviceId)
        try require(device.uses > 0, 107002, "aclrtResetDevice: device \(deviceId) is not set")
        device.uses -= 1
        if device.uses == 0 { world.reset(device) }
        if thread.context?.device === device { thread.context = nil }
    }
}

@c @implementation public func aclrtResetDeviceForce(_ deviceId: Int32) -> aclError {
    world.enter("aclrtResetDeviceForce") { world, thread throws(Failure) in
        let device = try world.device(deviceId)
        world.reset(device)
        if thread.context?.device === device { thread.context = nil }
    }
}

@c @implementation public func aclrtSynchronizeDevice() -> aclError { aclrtSynchronizeDeviceWithTimeout(-1) }

@c @implementation public func aclrtSynchronizeDeviceWithTimeout(_ timeout: Int32) -> aclError {
    world.enter("aclrtSynchronizeDevice") { world, thread throws(Failure) in
        let device = try thread.current().device
        for stream in device.streams { try world.refuseCaptured(stream, "aclrtSynchronizeDevice") }
        for stream in device.streams { try world.synchronize(stream, milliseconds: Int(timeout), thread) }
    }
}

@c @implementation public func aclrtGetRunMode(_ runMode: UnsafeMutablePointer<aclrtRunMode>?) -> aclError {
    world.enter("aclrtGetRunMode") { _, _ throws(Failure) in try set(runMode, ACL_HOST, "runMode") }
}

@c @implementation public func aclrtQueryDeviceStatus(
    _ deviceId: Int32, _ deviceStatus: UnsafeMutablePointer<aclrtDeviceStatus>?
) -> aclError {
    world.enter("aclrtQueryDeviceStatus") { world, _ throws(Failure) in
        let isWell = try world.device(deviceId).failure == nil
        try set(deviceStatus, isWell ? ACL_RT_DEVICE_STATUS_NORMAL : ACL_RT_DEVICE_STATUS_ABNORMAL, "deviceStatus")
    }
}

@c @implementation public func aclrtCreateContext(
    _ context: UnsafeMutablePointer<aclrtContext?>?, _ deviceId: Int32
) -> aclError {
    world.enter("aclrtCreateContext") { world, thread throws(Failure) in
        let made = Context(try world.device(deviceId))
        try set(context, made.handle, "context")
        thread.context = made
    }
}

@c @implementation public func aclrtDestroyContext(_ context: aclrtContext?) -> aclError {
    world.enter("aclrtDestroyContext") { world, thread throws(Failure) in
        let object = try world.object(context, Context.self, 107017, "context")
        object.standard.end()
        object.device.streams.removeAll { $0 === object.standard }
        if thread.context === object { thread.context = nil }
        world.forget(context)
    }
}

@c @implementation public func aclrtSetCurrentContext(_ context: aclrtContext?) -> aclError {
    world.enter("aclrtSetCurrentContext") { world, thread throws(Failure) in
        thread.context = try world.object(context, Context.self, 107017, "context")
    }
}

@c @implementation public func aclrtGetCurrentContext(_ context: UnsafeMutablePointer<aclrtContext?>?) -> aclError {
    world.enter("aclrtGetCurrentContext") { world, thread throws(Failure) in
        try set(context, try thread.current().handle, "context")
    }
}

@c @implementation public func aclrtCtxSetSysParamOpt(_ opt: aclSysParamOpt, _ value: Int64) -> aclError {
    world.enter("aclrtCtxSetSysParamOpt") { _, thread throws(Failure) in _ = try thread.current() }
}

@c @implementation public func aclrtSetSysParamOpt(_ opt: aclSysParamOpt, _ value: Int64) -> aclError {
    world.enter("aclrtSetSysParamOpt") { _, _ throws(Failure) in }
}

@c @implementation public func aclrtDeviceCanAccessPeer(
    _ canAccessPeer: UnsafeMutablePointer<Int32>?, _ deviceId: Int32, _ peerDeviceId: Int32
) -> aclError {
    world.enter("aclrtDeviceCanAccessPeer") { world, _ throws(Failure) in
        let peers = (try world.device(deviceId), try world.device(peerDeviceId))
        try set(canAccessPeer, peers.0 === peers.1 ? 0 : 1, "canAccessPeer")
    }
}

@c @implementation public func aclrtDeviceEnablePeerAccess(_ peerDeviceId: Int32, _ flags: UInt32) -> aclError {
    world.enter("aclrtDeviceEnablePeerAccess") { world, thread throws(Failure) in
        _ = try thread.current()
        _ = try world.device(peerDeviceId)
        try require(flags == 0, 107000, "aclrtDeviceEnablePeerAccess: flags must be 0")
    }
}

@c @implementation public func aclGetDeviceCapability(
    _ deviceId: UInt32, _ deviceInfo: aclDeviceInfo, _ value: UnsafeMutablePointer<Int64>?
) -> aclError {
    world.enter("aclGetDeviceCapability") { world, _ throws(Failure) in
        let profile = world.settings.profile
        switch deviceInfo {
        case ACL_DEVICE_INFO_AI_CORE_NUM: try set(value, Int64(profile.cubeCores), "value")
        case ACL_DEVICE_INFO_VECTOR_CORE_NUM: try set(value, Int64(profile.vectorCores), "value")
        case ACL_DEVICE_INFO_L2_SIZE: try set(value, Int64(profile.cacheBytes), "value")
        default: throw Failure(100000, "aclGetDeviceCapability: unknown deviceInfo")
        }
    }
}

@c @implementation public func aclGetCannAttribute(
    _ cannAttr: aclCannAttr, _ value: UnsafeMutablePointer<Int32>?
) -> aclError {
    world.enter("aclGetCannAttribute") { world, _ throws(Failure) in
        switch cannAttr {
        case ACL_CANN_ATTR_INF_NAN, ACL_CANN_ATTR_BF16: try set(value, world.settings.profile.is310P ? 0 : 1, "value")
        case ACL_CANN_ATTR_JIT_COMPILE: try set(value, 0, "value")
        default: throw Failure(100000, "aclGetCannAttribute: unknown attribute")
        }
    }
}

@c @implementation public func aclrtGetDeviceInfo(
    _ deviceId: UInt32, _ attr: aclrtDevAttr, _ value: UnsafeMutablePointer<Int64>?
) -> aclError {
    world.enter("aclrtGetDeviceInfo") { world, _ throws(Failure) in
        let profile = world.settings.profile
        switch attr {
        case ACL_DEV_ATTR_AICORE_CORE_NUM, ACL_DEV_ATTR_CUBE_CORE_NUM:
            try set(value, Int64(profile.cubeCores), "value")
        case ACL_DEV_ATTR_VECTOR_CORE_NUM: try set(value, Int64(profile.vectorCores), "value")
        case ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE: try set(value, Int64(world.settings.memoryBytes), "value")
        case ACL_DEV_ATTR_L2_CACHE_SIZE: try set(value, Int64(profile.cacheBytes), "value")
        case ACL_DEV_ATTR_IS_VIRTUAL: try set(value, 0, "value")
        default: throw Failure(207000, "aclrtGetDeviceInfo: attribute \(attr.rawValue) is not simulated")
        }
    }
}

@c @implementation public func aclrtGetDeviceUtilizationRate(
    _ deviceId: Int32, _ utilizationInfo: UnsafeMutablePointer<aclrtUtilizationInfo>?
) -> aclError {
    world.enter("aclrtGetDeviceUtilizationRate") { world, _ throws(Failure) in
        let device = try world.device(deviceId)
        guard let utilizationInfo, utilizationInfo.pointee.utilizationExtend == nil else {
            throw Failure(107000, "aclrtGetDeviceUtilizationRate: utilizationExtend must be NULL")
        }
        let busy: Int32 = device.streams.contains { !$0.isIdle } ? 100 : 0
        utilizationInfo.pointee = aclrtUtilizationInfo(
            cubeUtilization: busy, vectorUtilization: busy, aicpuUtilization: 0, memoryUtilization: -1,
            utilizationExtend: nil)
    }
}

/// Writes a result where the caller wants it.
func set<Value>(_ pointer: UnsafeMutablePointer<Value>?, _ value: Value, _ name: String) throws(Failure) {
    guard let pointer else { throw Failure(100000, "\(name) is NULL") }
    pointer.pointee = value
}

extension World {
    func device(_ id: Int32) throws(Failure) -> Device {
        guard devices.indices.contains(Int(id)) else {
            throw Failure(107001, "device \(id) is none of 0..<\(devices.count)")
        }
        return devices[Int(id)]
    }

    func reset(_ device: Device) {
        device.reset()
        faults.removeAll(where: \.endsWithReset)
        memory.dropAll(device: device.id)
        handles = handles.filter { _, object in
            switch object {
            case let stream as Stream: stream.device !== device
            case let event as Event: event.device !== device
            case let graph as Graph: graph.device !== device
            default: true
            }
        }
        lock.wakeAll()
    }
}

extension ThreadState {
    /// The context of the calling thread, on a device that works.
    func current() throws(Failure) -> Context {
        guard let context else { throw Failure(107002, "no device or context is set on this thread") }
        return context
    }
}
