// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

// MARK: - Making

/// Makes an object and gives its handle; NULL and a message when it is refused.
private func make(_ name: String, _ body: (World) throws(Failure) -> AnyObject) -> OpaquePointer? {
    var made: OpaquePointer?
    _ = world.enter(name, needsInit: false) { world, _ throws(Failure) in
        made = OpaquePointer(world.register(try body(world)))
    }
    return made
}

@c @implementation public func aclCreateTensor(
    _ viewDims: UnsafePointer<Int64>?, _ viewDimsNum: UInt64, _ dataType: aclDataType, _ stride: UnsafePointer<Int64>?,
    _ offset: Int64, _ format: aclFormat, _ storageDims: UnsafePointer<Int64>?, _ storageDimsNum: UInt64,
    _ tensorData: UnsafeMutableRawPointer?
) -> OpaquePointer? {
    make("aclCreateTensor") { world throws(Failure) in
        TensorObject(
            try world.tensor(
                viewDims, viewDimsNum, dataType, stride, offset, format, storageDims, storageDimsNum, tensorData))
    }
}

@c @implementation public func aclCreateScalar(
    _ value: UnsafeMutableRawPointer?, _ dataType: aclDataType
) -> OpaquePointer? {
    make("aclCreateScalar") { _ throws(Failure) in
        guard let value else { throw Failure(161001, "aclCreateScalar: value is NULL") }
        switch dataType {
        case ACL_FLOAT: return ScalarObject(Double(value.loadUnaligned(as: Float.self)))
        case ACL_DOUBLE: return ScalarObject(value.loadUnaligned(as: Double.self))
        case ACL_INT32: return ScalarObject(Double(value.loadUnaligned(as: Int32.self)))
        case ACL_INT64: return ScalarObject(Double(value.loadUnaligned(as: Int64.self)))
        case ACL_BOOL: return ScalarObject(Double(value.loadUnaligned(as: UInt8.self)))
        default: throw .invalid("aclCreateScalar: \(dataType.name) is not simulated")
        }
    }
}

@c @implementation public func aclCreateIntArray(_ value: UnsafePointer<Int64>?, _ size: UInt64) -> OpaquePointer? {
    make("aclCreateIntArray") { _ throws(Failure) in
        IntArray(UnsafeBufferPointer(start: value, count: try count(value != nil, size)).map { Int($0) })
    }
}

@c @implementation public func aclCreateFloatArray(_ value: UnsafePointer<Float>?, _ size: UInt64) -> OpaquePointer? {
    make("aclCreateFloatArray") { _ throws(Failure) in
        FloatArray(Array(UnsafeBufferPointer(start: value, count: try count(value != nil, size))))
    }
}

@c @implementation public func aclCreateBoolArray(_ value: UnsafePointer<Bool>?, _ size: UInt64) -> OpaquePointer? {
    make("aclCreateBoolArray") { _ throws(Failure) in
        BoolArray(Array(UnsafeBufferPointer(start: value, count: try count(value != nil, size))))
    }
}

private func count(_ isThere: Bool, _ size: UInt64) throws(Failure) -> Int {
    guard isThere || size == 0, size < 1 << 20 else { throw Failure(161001, "an array of \(size) without values") }
    return Int(size)
}

@c @implementation public func aclCreateTensorList(
    _ value: UnsafePointer<OpaquePointer?>?, _ size: UInt64
) -> OpaquePointer? {
    make("aclCreateTensorList") { world throws(Failure) in
        var members: [TensorObject] = []
        var handles: [UInt] = []
        for index in 0..<(try count(value != nil, size)) {
            let handle = UnsafeRawPointer(value?[index])
            let member = try world.object(handle, TensorObject.self, 161001, "aclCreateTensorList: tensor \(index)")
            guard !member.isListed else { throw .invalid("aclCreateTensorList: tensor \(index) is in a list already") }
            member.isListed = true
            members.append(member)
            handles.append(UInt(bitPattern: handle))
        }
        return TensorList(handles, members)
    }
}

@c @implementation public func aclCreateScalarList(
    _ value: UnsafePointer<OpaquePointer?>?, _ size: UInt64
) -> OpaquePointer? {
    make("aclCreateScalarList") { _ throws(Failure) in throw Failure(161002, "aclCreateScalarList: not simulated") }
}

// MARK: - Destroying

private func destroy<Object: AnyObject>(_ name: String, _ handle: OpaquePointer?, _ type: Object.Type) -> aclnnStatus {
    world.enter(name, needsInit: false) { world, _ throws(Failure) in
        let object = try world.object(UnsafeRawPointer(handle), type, 161002, "\(name): argument")
        if let tensor = object as? TensorObject, tensor.isListed {
            throw .invalid("\(name): the tensor is in a list, which destroys it")
        }
        if let list = object as? TensorList {
            for member in list.handles { world.handles[member] = nil }
        }
        world.forget(UnsafeRawPointer(handle))
    }
}

@c @implementation public func aclDestroyTensor(_ tensor: OpaquePointer?) -> aclnnStatus {
    destroy("aclDestroyTensor", tensor, TensorObject.self)
}

@c @implementation public func aclDestroyScalar(_ scalar: OpaquePointer?) -> aclnnStatus {
    destroy("aclDestroyScalar", scalar, ScalarObject.self)
}

@c @implementation public func aclDestroyIntArray(_ array: OpaquePointer?) -> aclnnStatus {
    destroy("aclDestroyIntArray", array, IntArray.self)
}

@c @implementation public func aclDestroyFloatArray(_ array: OpaquePointer?) -> aclnnStatus {
    destroy("aclDestroyFloatArray", array, FloatArray.self)
}

@c @implementation public func aclDestroyBoolArray(_ array: OpaquePointer?) -> aclnnStatus {
    destroy("aclDestroyBoolArray", array, BoolArray.self)
}

@c @implementation public func aclDestroyTensorList(_ array: OpaquePointer?) -> aclnnStatus {
    destroy("aclDestroyTensorList", array, TensorList.self)
}

@c @implementation public func aclDestroyScalarList(_ array: OpaquePointer?) -> aclnnStatus {
    world.enter("aclDestroyScalarList", needsInit: false) { _, _ throws(Failure) in
        throw Failure(161002, "aclDestroyScalarList: not simulated")
    }
}

// MARK: - Asking

private func ask(_ name: String, _ handle: OpaquePointer?, _ body: (TensorObject) throws(Failure) -> Void)
    -> aclnnStatus
{
    world.enter(name, needsInit: false) { world, _ throws(Failure) in
        try body(try world.object(UnsafeRawPointer(handle), TensorObject.self, 161001, "\(name): tensor"))
    }
}

func answer(
    _ values: [Int], _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<Int64>?>?,
    _ count: UnsafeMutablePointer<UInt64>?
) throws(Failure) {
    // Callers free it with delete[], which for integers is free().
    let array = malloc(max(8 * values.count, 8))?.assumingMemoryBound(to: Int64.self)
    for (index, value) in values.enumerated() { array?[index] = Int64(value) }
    try set(pointer, array, "array")
    try set(count, UInt64(values.count), "count")
}

@c @implementation public func aclGetViewShape(
    _ tensor: OpaquePointer?, _ viewDims: UnsafeMutablePointer<UnsafeMutablePointer<Int64>?>?,
    _ viewDimsNum: UnsafeMutablePointer<UInt64>?
) -> aclnnStatus {
    ask("aclGetViewShape", tensor) { object throws(Failure) in try answer(object.tensor.dims, viewDims, viewDimsNum) }
}

@c @implementation public func aclGetStorageShape(
    _ tensor: OpaquePointer?, _ storageDims: UnsafeMutablePointer<UnsafeMutablePointer<Int64>?>?,
    _ storageDimsNum: UnsafeMutablePointer<UInt64>?
) -> aclnnStatus {
    ask("aclGetStorageShape", tensor) { object throws(Failure) in
        try answer(object.tensor.storage, storageDims, storageDimsNum)
    }
}

@c @implementation public func aclGetViewStrides(
    _ tensor: OpaquePointer?, _ stridesValue: UnsafeMutablePointer<UnsafeMutablePointer<Int64>?>?,
    _ stridesNum: UnsafeMutablePointer<UInt64>?
) -> aclnnStatus {
    ask("aclGetViewStrides", tensor) { object throws(Failure) in
        try answer(object.tensor.strides, stridesValue, stridesNum)
    }
}

@c @implementation public func aclGetViewOffset(
    _ tensor: OpaquePointer?, _ offset: UnsafeMutablePointer<Int64>?
) -> aclnnStatus {
    ask("aclGetViewOffset", tensor) { object throws(Failure) in try set(offset, Int64(object.tensor.offset), "offset") }
}

@c @implementation public func aclGetFormat(
    _ tensor: OpaquePointer?, _ format: UnsafeMutablePointer<aclFormat>?
) -> aclnnStatus {
    ask("aclGetFormat", tensor) { object throws(Failure) in try set(format, object.tensor.format, "format") }
}

@c @implementation public func aclGetDataType(
    _ tensor: OpaquePointer?, _ dataType: UnsafeMutablePointer<aclDataType>?
) -> aclnnStatus {
    ask("aclGetDataType", tensor) { object throws(Failure) in try set(dataType, object.tensor.type, "dataType") }
}

@c @implementation public func aclInitTensor(
    _ tensor: OpaquePointer?, _ viewDims: UnsafePointer<Int64>?, _ viewDimsNum: UInt64, _ dataType: aclDataType,
    _ stride: UnsafePointer<Int64>?, _ offset: Int64, _ format: aclFormat, _ storageDims: UnsafePointer<Int64>?,
    _ storageDimsNum: UInt64, _ tensorDataAddr: UnsafeMutableRawPointer?
) -> aclnnStatus {
    ask("aclInitTensor", tensor) { object throws(Failure) in
        object.tensor = try world.tensor(
            viewDims, viewDimsNum, dataType, stride, offset, format, storageDims, storageDimsNum, tensorDataAddr)
    }
}

@c @implementation public func aclSetRawTensorAddr(
    _ tensor: OpaquePointer?, _ addr: UnsafeMutableRawPointer?
) -> aclnnStatus {
    ask("aclSetRawTensorAddr", tensor) { object throws(Failure) in object.tensor.address = UInt(bitPattern: addr) }
}

@c @implementation public func aclGetRawTensorAddr(
    _ tensor: OpaquePointer?, _ addr: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> aclnnStatus {
    ask("aclGetRawTensorAddr", tensor) { object throws(Failure) in
        try set(addr, UnsafeMutableRawPointer(bitPattern: object.tensor.address), "addr")
    }
}

// MARK: - Executors

private func change(
    _ name: String, _ handle: OpaquePointer?, _ body: (Executor, ThreadState) throws(Failure) -> Void
) -> aclnnStatus {
    world.enter(name) { world, thread throws(Failure) in
        try body(try world.object(UnsafeRawPointer(handle), Executor.self, 561103, "\(name): executor"), thread)
    }
}

@c @implementation public func aclSetAclOpExecutorRepeatable(_ executor: OpaquePointer?) -> aclnnStatus {
    change("aclSetAclOpExecutorRepeatable", executor) { object, thread throws(Failure) in
        guard thread.planned === object else {
            throw Failure(561000, "aclSetAclOpExecutorRepeatable: comes right behind the first stage, on its thread")
        }
        guard !object.isOnceOnly else {
            throw Failure(561000, "aclSetAclOpExecutorRepeatable: \(object.name) cannot be launched twice")
        }
        object.isRepeatable = true
    }
}

@c @implementation public func aclDestroyAclOpExecutor(_ executor: OpaquePointer?) -> aclnnStatus {
    change("aclDestroyAclOpExecutor", executor) { object, _ throws(Failure) in
        guard object.isRepeatable else {
            throw .invalid("aclDestroyAclOpExecutor: the executor is not repeatable, its launch destroys it")
        }
        world.forget(UnsafeRawPointer(executor))
    }
}

/// Changes an address for the launches that follow.
private func setAddress(
    _ name: String, _ executor: OpaquePointer?, _ tensor: OpaquePointer?, _ addr: UnsafeMutableRawPointer?,
    _ index: (Executor) throws(Failure) -> Int
) -> aclnnStatus {
    change(name, executor) { object, _ throws(Failure) in
        let tensor = try world.object(UnsafeRawPointer(tensor), TensorObject.self, 561103, "\(name): tensor")
        guard object.isRepeatable else { throw .invalid("\(name): the executor is not repeatable") }
        try object.setAddress(try index(object), tensor, UInt(bitPattern: addr))
    }
}

@c @implementation public func aclSetInputTensorAddr(
    _ executor: OpaquePointer?, _ index: Int, _ tensor: OpaquePointer?, _ addr: UnsafeMutableRawPointer?
) -> aclnnStatus {
    setAddress("aclSetInputTensorAddr", executor, tensor, addr) { object throws(Failure) in
        try object.index(ofInput: index)
    }
}

@c @implementation public func aclSetOutputTensorAddr(
    _ executor: OpaquePointer?, _ index: Int, _ tensor: OpaquePointer?, _ addr: UnsafeMutableRawPointer?
) -> aclnnStatus {
    setAddress("aclSetOutputTensorAddr", executor, tensor, addr) { object throws(Failure) in
        try object.index(ofOutput: index)
    }
}

@c @implementation public func aclSetTensorAddr(
    _ executor: OpaquePointer?, _ index: Int, _ tensor: OpaquePointer?, _ addr: UnsafeMutableRawPointer?
) -> aclnnStatus {
    setAddress("aclSetTensorAddr", executor, tensor, addr) { _ throws(Failure) in index }
}

@c @implementation public func aclSetDynamicTensorAddr(
    _ executor: OpaquePointer?, _ irIndex: Int, _ relativeIndex: Int, _ tensors: OpaquePointer?,
    _ addr: UnsafeMutableRawPointer?
) -> aclnnStatus {
    let name = "aclSetDynamicTensorAddr"
    return change(name, executor) { object, _ throws(Failure) in
        let list = try world.object(UnsafeRawPointer(tensors), TensorList.self, 561103, "\(name): tensors")
        guard object.isRepeatable else { throw .invalid("\(name): the executor is not repeatable") }
        guard let own = object.lists[irIndex], own.list === list, list.members.indices.contains(relativeIndex) else {
            throw .invalid("\(name): parameter \(irIndex) is not this list, or has no tensor \(relativeIndex)")
        }
        try object.setAddress(
            own.range.lowerBound + relativeIndex, list.members[relativeIndex], UInt(bitPattern: addr))
    }
}

@c @implementation public func aclnnInit(_ configPath: UnsafePointer<CChar>?) -> aclnnStatus {
    world.enter("aclnnInit", needsInit: false) { _, _ throws(Failure) in }
}

@c @implementation public func aclnnFinalize() -> aclnnStatus {
    world.enter("aclnnFinalize", needsInit: false) { _, _ throws(Failure) in }
}

// MARK: - Of the simulator itself

/// Reads the environment again and forgets all state. Returns 0, or 100000 for settings that make no sense.
@c public func asc_sim_restart() -> Int32 {
    do {
        try world.restart()
        return 0
    } catch {
        report(error.message)
        return error.code
    }
}

/// Whether the release that is simulated has a function: for `asc_load`.
@c public func asc_exports(_ name: UnsafePointer<CChar>?) -> Bool {
    guard let name else { return false }
    world.lock.lock()
    defer { world.lock.unlock() }
    return world.settings.exports(String(cString: name))
}
