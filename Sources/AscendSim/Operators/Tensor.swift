internal import CAscend

/// What an `aclTensor` says.
struct Tensor {
    var dims: [Int]
    /// In elements.
    var strides: [Int]
    var offset: Int
    var type: aclDataType
    var format: aclFormat
    var storage: [Int]
    var address: UInt
    /// Whether the operator uses the storage behind the view too.
    var coversStorage = false

    var count: Int { dims.reduce(1, *) }
    var isTiled: Bool { format == ACL_FORMAT_FRACTAL_NZ }
    var isContiguous: Bool { strides == Tensor.contiguous(dims) }

    static func contiguous(_ dims: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: dims.count)
        for axis in dims.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * max(dims[axis + 1], 1) }
        return strides
    }

    /// Elements from the start of the storage to behind the last one of the view.
    var reach: Int {
        if isTiled || coversStorage { return storage.reduce(1, *) }
        if count == 0 { return 0 }
        return offset + zip(dims, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 } + 1
    }

    var bytes: Int { reach * type.bytes }

    /// Whether the other one is the same view of the same memory.
    func isSame(as other: Tensor) -> Bool {
        (dims, strides, storage) == (other.dims, other.strides, other.storage)
            && (offset, address) == (other.offset, other.address) && type == other.type && format == other.format
    }

    /// For messages: "BF16[2, 576]".
    var shape: String { "\(type.name)\(dims)\(isTiled ? " NZ" : "")" }
}

extension aclDataType {
    var bytes: Int {
        switch self {
        case ACL_FLOAT, ACL_INT32, ACL_UINT32: 4
        case ACL_FLOAT16, ACL_BF16, ACL_INT16, ACL_UINT16: 2
        case ACL_INT64, ACL_UINT64, ACL_DOUBLE: 8
        case ACL_INT8, ACL_UINT8, ACL_BOOL: 1
        default: 0
        }
    }

    var name: String {
        switch self {
        case ACL_FLOAT: "FLOAT"
        case ACL_FLOAT16: "FLOAT16"
        case ACL_BF16: "BF16"
        case ACL_INT8: "INT8"
        case ACL_UINT8: "UINT8"
        case ACL_BOOL: "BOOL"
        case ACL_INT32: "INT32"
        case ACL_INT64: "INT64"
        case ACL_UINT64: "UINT64"
        default: "type \(rawValue)"
        }
    }

    var isFloat: Bool { self == ACL_FLOAT || self == ACL_FLOAT16 || self == ACL_BF16 }
}

/// What the handles of operators' parameters stand for.
final class TensorObject {
    var tensor: Tensor
    /// In a list, which alone destroys it.
    var isListed = false
    init(_ tensor: Tensor) { self.tensor = tensor }
}

final class TensorList {
    let handles: [UInt]
    let members: [TensorObject]
    init(_ handles: [UInt], _ members: [TensorObject]) {
        self.handles = handles
        self.members = members
    }
}

final class ScalarObject {
    let value: Double
    init(_ value: Double) { self.value = value }
}

final class IntArray {
    let values: [Int]
    init(_ values: [Int]) { self.values = values }
}

final class FloatArray {
    let values: [Float]
    init(_ values: [Float]) { self.values = values }
}

final class BoolArray {
    let values: [Bool]
    init(_ values: [Bool]) { self.values = values }
}

extension World {
    /// Checks what `aclCreateTensor` is given.
    func tensor(
        _ dims: UnsafePointer<Int64>?, _ dimCount: UInt64, _ type: aclDataType, _ strides: UnsafePointer<Int64>?,
        _ offset: Int64, _ format: aclFormat, _ storage: UnsafePointer<Int64>?, _ storageCount: UInt64,
        _ address: UnsafeMutableRawPointer?
    ) throws(Failure) -> Tensor {
        func integers(_ pointer: UnsafePointer<Int64>?, _ count: UInt64, _ what: String) throws(Failure) -> [Int] {
            guard count <= 8, count == 0 || pointer != nil else {
                throw .invalid("aclCreateTensor: \(what) has \(count) dimensions")
            }
            var values: [Int] = []
            for index in 0..<Int(count) {
                guard let value = pointer?[index], value >= 0, value < 1 << 40 else {
                    throw .invalid("aclCreateTensor: \(what) has an impossible dimension")
                }
                values.append(Int(value))
            }
            return values
        }
        guard type.bytes > 0 else { throw .invalid("aclCreateTensor: \(type.name) is not simulated") }
        guard offset >= 0, offset < 1 << 40 else { throw .invalid("aclCreateTensor: offset \(offset)") }
        let dims = try integers(dims, dimCount, "the view")
        let tensor = Tensor(
            dims: dims,
            strides: strides == nil ? Tensor.contiguous(dims) : try integers(strides, dimCount, "the strides"),
            offset: Int(offset), type: type, format: format,
            storage: try integers(storage, storageCount, "the storage"),
            address: UInt(bitPattern: address))
        guard tensor.reach <= tensor.storage.reduce(1, *) else {
            throw .invalid(
                "aclCreateTensor: view \(tensor.dims) with strides \(tensor.strides) is beyond the storage \(tensor.storage)"
            )
        }
        if tensor.isTiled { try tensor.checkTiles() }
        return tensor
    }
}

extension Tensor {
    /// The storage of a matrix of these dimensions in tiles.
    static func tiles(of dims: [Int], _ type: aclDataType) -> [Int] {
        let width = 32 / type.bytes
        return [(dims[1] + width - 1) / width, (dims[0] + 15) / 16, 16, width]
    }

    /// Rows, columns and elements of a row of a tile as the storage of a matrix in tiles says them; `isTransposed` when the view is
    /// the transpose of what is stored.
    struct Tiles {
        let rows: Int
        let columns: Int
        let width: Int
        let isTransposed: Bool
    }

    /// The tiles of a matrix, or of each matrix of a batch.
    var tiles: Tiles {
        let view = Array(dims.suffix(2))
        let width = 32 / type.bytes
        let stored = Array(storage.suffix(4))
        // A transposed view has its larger stride last, or is told by the storage alone.
        let inner = Array(strides.suffix(2))
        let isTransposed = inner.count == 2 && inner[0] < inner[1]
        return Tiles(
            rows: stored.count == 4 ? stored[1] * 16 : 0, columns: stored.count == 4 ? stored[0] * width : 0,
            width: width, isTransposed: isTransposed && view.count == 2)
    }

    /// Whether none of its tiles is filled up with zeros.
    var hasFullTiles: Bool {
        let matrix = Array(tiles.isTransposed ? dims.suffix(2).reversed() : dims.suffix(2))
        return matrix[0] == tiles.rows && matrix[1] == tiles.columns
    }

    fileprivate func checkTiles() throws(Failure) {
        guard dims.count >= 2, storage.count == dims.count + 2 else {
            throw .invalid("aclCreateTensor: storage \(storage) is not that of \(dims) in tiles")
        }
        var matrix = Array(dims.suffix(2))
        if tiles.isTransposed { matrix.swapAt(0, 1) }
        guard matrix[0] > 1, matrix[1] > 1 else {
            throw .invalid("aclCreateTensor: a dimension of 1 cannot be in tiles")
        }
        let wanted = Tensor.tiles(of: matrix, type)
        guard Array(storage.suffix(4)) == wanted else {
            throw .invalid("aclCreateTensor: \(matrix) of \(type.name) in tiles is stored as \(wanted), not \(storage)")
        }
    }
}
