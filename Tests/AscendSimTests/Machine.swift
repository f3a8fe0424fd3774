import CAscend
import Glibc
import ProgramKit
import Testing

/// Every suite that drives the simulated machine, of which a process has one.
@Suite(.serialized) enum SimulatorTests {}

/// A call that returned something else than 0.
struct CallFailure: Error, Equatable {
    let code: Int32
    let message: String
}

/// Runs the driver's calls as a program would: through the tables of CAscend, one device, one stream.
final class Machine {
    let api: UnsafeMutablePointer<asc_libraries>
    let stream: aclrtStream?

    /// Starts the machine anew with settings LM_ASCENDSIM_…; `isReady` false leaves it before `aclInit`.
    init(_ settings: [String: String] = [:], isReady: Bool = true) throws {
        try AscendSimulator.restart(settings)
        api = .allocate(capacity: 1)
        asc_load(api)
        var made: aclrtStream?
        if isReady {
            _ = api.pointee.runtime.aclInit(nil)
            _ = api.pointee.runtime.aclrtSetDevice(0)
            _ = api.pointee.runtime.aclrtCreateStream(&made)
        }
        stream = made
    }

    deinit { api.deallocate() }

    var runtime: asc_runtime { api.pointee.runtime }
    var objects: asc_objects { api.pointee.objects }
    var operators: asc_operators { api.pointee.operators }

    /// Throws what a call returned, with what the runtime says about it.
    func check(_ code: Int32) throws {
        guard code != 0 else { return }
        throw CallFailure(code: code, message: runtime.aclGetRecentErrMsg().map { String(cString: $0) } ?? "")
    }

    // MARK: Memory

    func allocate(_ bytes: Int) throws -> UnsafeMutableRawPointer {
        var pointer: UnsafeMutableRawPointer?
        try check(runtime.aclrtMalloc(&pointer, bytes, ACL_MEM_MALLOC_HUGE_FIRST))
        return try #require(pointer)
    }

    func upload<Element>(_ values: [Element]) throws -> UnsafeMutableRawPointer {
        let bytes = max(values.count, 1) * MemoryLayout<Element>.stride
        let place = try allocate(bytes)
        try check(
            values.withUnsafeBytes { buffer in
                runtime.aclrtMemcpy(place, bytes, buffer.baseAddress, buffer.count, ACL_MEMCPY_HOST_TO_DEVICE)
            })
        return place
    }

    func download<Element>(_ place: UnsafeMutableRawPointer, _ count: Int, _ zero: Element) throws -> [Element] {
        var values = [Element](repeating: zero, count: count)
        try check(
            values.withUnsafeMutableBytes { buffer in
                runtime.aclrtMemcpy(buffer.baseAddress, buffer.count, place, buffer.count, ACL_MEMCPY_DEVICE_TO_HOST)
            })
        return values
    }

    // MARK: Tensors

    func tensor(
        _ type: aclDataType, _ dims: [Int], at place: UnsafeMutableRawPointer?, strides: [Int]? = nil, offset: Int = 0,
        format: aclFormat = ACL_FORMAT_ND, storage: [Int]? = nil
    ) -> OpaquePointer? {
        let whole = (storage ?? [offset + dims.reduce(1, *)]).map(Int64.init)
        let sizes = dims.map(Int64.init)
        let steps = strides.map { $0.map(Int64.init) }
        return sizes.withUnsafeBufferPointer { sizes in
            whole.withUnsafeBufferPointer { whole in
                guard let steps else {
                    return objects.aclCreateTensor(
                        sizes.baseAddress, UInt64(sizes.count), type, nil, Int64(offset), format, whole.baseAddress,
                        UInt64(whole.count), place)
                }
                return steps.withUnsafeBufferPointer { steps in
                    objects.aclCreateTensor(
                        sizes.baseAddress, UInt64(sizes.count), type, steps.baseAddress, Int64(offset), format,
                        whole.baseAddress, UInt64(whole.count), place)
                }
            }
        }
    }

    /// Floats on the device in a type, and what they are after rounding.
    func floats(_ values: [Float], _ dims: [Int], _ type: aclDataType = ACL_BF16) throws -> Placed {
        let place: UnsafeMutableRawPointer =
            switch type {
            case ACL_BF16: try upload(values.map(brain))
            case ACL_FLOAT16: try upload(values.map { Float16($0) })
            case ACL_INT8: try upload(values.map { Int8($0) })
            case ACL_INT32: try upload(values.map { Int32($0) })
            default: try upload(values)
            }
        return Placed(handle: tensor(type, dims, at: place), place: place, type: type, dims: dims)
    }

    func empty(_ type: aclDataType = ACL_BF16, _ dims: [Int]) throws -> Placed {
        let place = try allocate(max(dims.reduce(1, *), 1) * 8)
        return Placed(handle: tensor(type, dims, at: place), place: place, type: type, dims: dims)
    }

    func read(_ tensor: Placed) throws -> [Float] {
        let count = tensor.dims.reduce(1, *)
        switch tensor.type {
        case ACL_BF16: return try download(tensor.place, count, UInt16(0)).map { Float(bitPattern: UInt32($0) << 16) }
        case ACL_FLOAT16: return try download(tensor.place, count, Float16(0)).map { Float($0) }
        case ACL_INT8: return try download(tensor.place, count, Int8(0)).map { Float($0) }
        case ACL_INT32: return try download(tensor.place, count, Int32(0)).map { Float($0) }
        case ACL_INT64: return try download(tensor.place, count, Int64(0)).map { Float($0) }
        default: return try download(tensor.place, count, Float(0))
        }
    }

    func integers(_ values: [Int]) -> OpaquePointer? {
        values.map(Int64.init).withUnsafeBufferPointer { objects.aclCreateIntArray($0.baseAddress, UInt64($0.count)) }
    }

    func list(_ tensors: [Placed]) -> OpaquePointer? {
        tensors.map(\.handle).withUnsafeBufferPointer { objects.aclCreateTensorList($0.baseAddress, UInt64($0.count)) }
    }

    func scalar(_ value: Float) -> OpaquePointer? {
        var value = value
        return objects.aclCreateScalar(&value, ACL_FLOAT)
    }

    // MARK: Operators

    /// The first stage.
    func plan(
        _ body: (UnsafeMutablePointer<UInt64>?, UnsafeMutablePointer<OpaquePointer?>?) -> aclnnStatus
    ) throws -> (workspace: UInt64, executor: OpaquePointer?) {
        var size: UInt64 = 0
        var executor: OpaquePointer?
        try check(body(&size, &executor))
        return (size, executor)
    }

    /// Both stages, without waiting.
    func launch(
        _ second: asc_launch?, on other: aclrtStream? = nil,
        _ body: (UnsafeMutablePointer<UInt64>?, UnsafeMutablePointer<OpaquePointer?>?) -> aclnnStatus
    ) throws {
        let (size, executor) = try plan(body)
        let workspace = size > 0 ? try allocate(Int(size)) : nil
        let second = try #require(second)
        try check(second(workspace, size, executor, other ?? stream))
    }

    func synchronize() throws { try check(runtime.aclrtSynchronizeStream(stream)) }

    /// Both stages and the wait for the result.
    func run(
        _ second: asc_launch?,
        _ body: (UnsafeMutablePointer<UInt64>?, UnsafeMutablePointer<OpaquePointer?>?) -> aclnnStatus
    ) throws {
        try launch(second, body)
        try synchronize()
    }
}

/// A tensor with its memory.
struct Placed {
    let handle: OpaquePointer?
    let place: UnsafeMutableRawPointer
    let type: aclDataType
    let dims: [Int]
}

/// The nearest bf16, half to even, by looking at both neighbours.
func brain(_ value: Float) -> UInt16 {
    let low = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
    if value.isNaN { return 0x7FC0 }
    let rest = value.bitPattern & 0xFFFF
    return rest > 0x8000 || (rest == 0x8000 && low & 1 == 1) ? low + 1 : low
}

func brained(_ values: [Float]) -> [Float] { values.map { Float(bitPattern: UInt32(brain($0)) << 16) } }

/// Reproducible numbers, exact in bf16.
struct Numbers {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func floats(_ count: Int) -> [Float] {
        brained((0..<count).map { _ in Float(Int(next() % 2001) - 1000) / 1000 })
    }

    mutating func integers(_ count: Int, _ range: ClosedRange<Int>) -> [Int] {
        (0..<count).map { _ in range.lowerBound + Int(next() % UInt64(range.count)) }
    }
}

/// The largest difference relative to the largest magnitude.
func difference(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    let scale = b.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
    return zip(a, b).reduce(0) { $0.isNaN ? $0 : max($0, ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1) / scale) }
}
