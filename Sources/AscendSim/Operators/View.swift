internal import CAscend

/// A tensor with its contents at hand, while its operator runs.
struct View {
    let tensor: Tensor
    /// Of the storage.
    let base: UnsafeMutableRawPointer

    var dims: [Int] { tensor.dims }
    var count: Int { tensor.count }
    /// The last dimension, and how many rows of it there are.
    var columns: Int { tensor.dims.last ?? 1 }
    var rows: Int { columns == 0 ? 0 : count / columns }

    // MARK: Rows

    /// Element offset of a row of the last dimension.
    func offset(ofRow row: Int) -> Int {
        var rest = row
        var offset = tensor.offset
        for axis in tensor.dims.indices.dropLast().reversed() {
            offset += rest % tensor.dims[axis] * tensor.strides[axis]
            rest /= tensor.dims[axis]
        }
        return offset
    }

    func read(row: Int, into values: UnsafeMutablePointer<Float>) {
        decode(at: offset(ofRow: row), stride: tensor.strides.last ?? 1, count: columns, into: values)
    }

    func write(row: Int, _ values: UnsafePointer<Float>) {
        encode(values, at: offset(ofRow: row), stride: tensor.strides.last ?? 1, count: columns)
    }

    /// All elements in the order of the view.
    func floats() -> [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            if let start = buffer.baseAddress {
                for row in 0..<rows { read(row: row, into: start + row * columns) }
            }
            initialized = count
        }
    }

    /// Writes all elements, rounded to the type.
    func write(_ values: [Float]) {
        values.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            for row in 0..<rows { write(row: row, start + row * columns) }
        }
    }

    func integers() -> [Int] {
        var values: [Int] = []
        values.reserveCapacity(count)
        let stride = tensor.strides.last ?? 1
        for row in 0..<rows {
            let start = offset(ofRow: row)
            for column in 0..<columns { values.append(integer(at: start + column * stride)) }
        }
        return values
    }

    func write(_ values: [Int]) {
        let stride = tensor.strides.last ?? 1
        for row in 0..<rows {
            let start = offset(ofRow: row)
            for column in 0..<columns { store(values[row * columns + column], at: start + column * stride) }
        }
    }

    // MARK: Elements

    func integer(at index: Int) -> Int {
        switch tensor.type {
        case ACL_INT8: Int(base.load(fromByteOffset: index, as: Int8.self))
        case ACL_UINT8, ACL_BOOL: Int(base.load(fromByteOffset: index, as: UInt8.self))
        case ACL_INT32: Int(base.load(fromByteOffset: 4 * index, as: Int32.self))
        case ACL_INT64: base.load(fromByteOffset: 8 * index, as: Int.self)
        case ACL_UINT64: Int(bitPattern: base.load(fromByteOffset: 8 * index, as: UInt.self))
        default: preconditionFailure("checked by the operator")
        }
    }

    func store(_ value: Int, at index: Int) {
        switch tensor.type {
        case ACL_INT8: base.storeBytes(of: Int8(truncatingIfNeeded: value), toByteOffset: index, as: Int8.self)
        case ACL_UINT8, ACL_BOOL:
            base.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: index, as: UInt8.self)
        case ACL_INT32:
            base.storeBytes(of: Int32(truncatingIfNeeded: value), toByteOffset: 4 * index, as: Int32.self)
        case ACL_INT64, ACL_UINT64: base.storeBytes(of: value, toByteOffset: 8 * index, as: Int.self)
        default: preconditionFailure("checked by the operator")
        }
    }

    func decode(at index: Int, stride: Int, count: Int, into values: UnsafeMutablePointer<Float>) {
        switch tensor.type {
        case ACL_BF16:
            let source = (base + 2 * index).assumingMemoryBound(to: UInt16.self)
            if stride == 1 {
                for i in 0..<count { values[i] = Float(bitPattern: UInt32(truncatingIfNeeded: source[i]) &<< 16) }
            } else {
                for i in 0..<count { values[i] = Float(bitPattern: UInt32(source[i &* stride]) &<< 16) }
            }
        case ACL_FLOAT:
            let source = (base + 4 * index).assumingMemoryBound(to: Float.self)
            for i in 0..<count { values[i] = source[i &* stride] }
        case ACL_FLOAT16:
            let source = (base + 2 * index).assumingMemoryBound(to: UInt16.self)
            for i in 0..<count { values[i] = Float(Float16(bitPattern: source[i &* stride])) }
        default:
            for i in 0..<count { values[i] = Float(integer(at: index + i * stride)) }
        }
    }

    func encode(_ values: UnsafePointer<Float>, at index: Int, stride: Int, count: Int) {
        switch tensor.type {
        case ACL_BF16:
            let target = (base + 2 * index).assumingMemoryBound(to: UInt16.self)
            for i in 0..<count { target[i &* stride] = bfloat(values[i]) }
        case ACL_FLOAT:
            let target = (base + 4 * index).assumingMemoryBound(to: Float.self)
            for i in 0..<count { target[i &* stride] = values[i] }
        case ACL_FLOAT16:
            let target = (base + 2 * index).assumingMemoryBound(to: UInt16.self)
            for i in 0..<count { target[i &* stride] = Float16(values[i]).bitPattern }
        default:
            for i in 0..<count { store(values[i].isNaN ? 0 : saturate(values[i]), at: index + i * stride) }
        }
    }

    private func saturate(_ value: Float) -> Int {
        let bounds: (Float, Float) =
            switch tensor.type {
            case ACL_INT8: (-128, 127)
            case ACL_UINT8: (0, 255)
            case ACL_BOOL: (0, 1)
            default: (-2_147_483_648, 2_147_483_520)
            }
        return Int(min(max(value, bounds.0), bounds.1))
    }
}

/// The nearest bf16, half to even.
@inline(__always)
func bfloat(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let rounded = (bits &+ 0x7FFF &+ (bits &>> 16 & 1)) &>> 16
    return UInt16(truncatingIfNeeded: bits & 0x7FFF_FFFF > 0x7F80_0000 ? bits &>> 16 | 0x40 : rounded)
}

/// As `bfloat`, and back.
@inline(__always)
func rounded(_ value: Float, to type: aclDataType) -> Float {
    switch type {
    case ACL_BF16: Float(bitPattern: UInt32(bfloat(value)) << 16)
    case ACL_FLOAT16: Float(Float16(value))
    default: value
    }
}
