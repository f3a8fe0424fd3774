/// Which matrices lie in tiles in an NPU's memory (the layout that CANN calls FRACTAL_NZ), and not row by row: as the units
/// that multiply them read them.
public enum AscendTiling: String, CaseIterable, Sendable {
    /// None.
    case none
    /// Those of 8-bit integers.
    case int8
    /// Those of floats too.
    case all
}

/// Of which matrices the operators of this machine take tiles.
struct AscendTiledForms: Sendable {
    /// Of 8-bit integers.
    let integers: Bool
    /// Of 16-bit floats.
    let floats: Bool

    static let none = AscendTiledForms(integers: false, floats: false)

    private init(integers: Bool, floats: Bool) { (self.integers, self.floats) = (integers, floats) }

    /// Those that are wanted and that the libraries and the device have.
    ///
    /// - Parameter deviceName: for example "Ascend910B3".
    init(_ tiling: AscendTiling, deviceName: String) {
        let libraries = AscendLibraries.shared
        let converts =
            Self.devices.contains(where: deviceName.hasPrefix) && libraries.hasOperator(AscendTiledForms.conversion)
        integers = tiling != .none && converts && libraries.hasOperator(Self.integerProduct)
        floats = tiling == .all && converts && libraries.hasOperator(Self.floatProduct)
    }

    /// Beginnings of the names of devices for which the operators are documented.
    private static let devices = ["Ascend910B", "Ascend910_93", "Ascend310P"]

    /// The operators' names without their prefix.
    static let conversion = "TransMatmulWeight"
    static let integerProduct = "QuantMatmulWeightNz"
    static let floatProduct = "MatmulWeightNz"

    /// How a matrix, or each of several, lies in tiles; nil for one that has to lie row by row.
    ///
    /// - Parameters:
    ///   - isGrouped: multiplied group by group, by an operator that takes whole tiles only.
    func shape(
        _ element: AscendElement, matrices: Int = 1, rows: Int, columns: Int, isGrouped: Bool = false
    ) -> AscendTileShape? {
        let isTaken =
            switch element {
            case .int8: integers
            case .float16, .bfloat16: floats
            case .float32, .int32, .int64: false
            }
        let shape = AscendTileShape(matrices: matrices, rows: rows, columns: columns, element: element)
        guard isTaken, rows > 1, columns > 1, !isGrouped || shape.isFull else { return nil }
        return shape
    }
}

/// Matrices in tiles of 16 rows of 32 bytes. A matrix is columns of tiles, one column behind the other; its last tiles are
/// filled up with zeros.
struct AscendTileShape: Sendable, Equatable {
    let matrices: Int
    /// Of a matrix.
    let rows: Int
    let columns: Int
    let element: AscendElement

    static let height = 16
    private static let rowByteCount = 32
    static let byteCount = height * rowByteCount

    /// Elements in a row of a tile.
    var width: Int { Self.rowByteCount / element.byteCount }
    /// Tiles beside each other.
    var across: Int { (columns + width - 1) / width }
    /// Tiles below each other.
    var down: Int { (rows + Self.height - 1) / Self.height }
    /// Whether no tile is filled up.
    var isFull: Bool { columns % width == 0 && rows % Self.height == 0 }
    /// Elements of a matrix with what fills its tiles up.
    var elementCount: Int { across * down * Self.height * width }
    /// Bytes of a matrix.
    var matrixByteCount: Int { across * down * Self.byteCount }
    /// The dimensions of what is stored, as the library takes them.
    var storage: [Int64] {
        (matrices > 1 ? [matrices] : []).map { Int64($0) } + [across, down, Self.height, width].map { Int64($0) }
    }

    /// Bytes of a matrix before the tile at a place.
    func offset(across column: Int, down row: Int) -> Int { (column * down + row) * Self.byteCount }

    /// Writes the tiles of some rows, which begin a tile: column by column, as they lie.
    ///
    /// - Parameters:
    ///   - source: the rows as a file has them.
    ///   - rowCount: how many there are.
    func writeTiles(of source: UnsafeRawBufferPointer, rowCount: Int, to target: UnsafeMutableRawBufferPointer) {
        let sourceByteCount = columns * element.byteCount
        let height = (rowCount + Self.height - 1) / Self.height * Self.height
        precondition(source.count >= rowCount * sourceByteCount)
        precondition(target.count >= across * height * Self.rowByteCount)
        for column in 0..<across {
            for row in 0..<height {
                let place = (column * height + row) * Self.rowByteCount
                let start = column * Self.rowByteCount
                let count = row < rowCount ? min(Self.rowByteCount, sourceByteCount - start) : 0
                for byte in 0..<Self.rowByteCount {
                    target[place + byte] = byte < count ? source[row * sourceByteCount + start + byte] : 0
                }
            }
        }
    }
}
