internal import CKernels

/// How a matrix product is cut into parts for threads. The cut never changes a result: every output is computed in one
/// part, in the same order.
struct MatrixSplit {
    /// Rows and panels of one projection.
    struct Part {
        let projection: Int
        let rows: Range<Int>
        let panels: Range<Int>
    }

    /// Number of parts.
    let chunkCount: Int
    private let group: ProjectionGroup
    private let rows: Int
    private let rowsPerBlock: Int
    private let panelsPerChunk: Int
    private let chunksPerBlock: Int

    init(_ group: ProjectionGroup, rows: Int, threads: Int) {
        self.group = group
        self.rows = rows
        rowsPerBlock = group.projections.reduce(Int.max) { min($0, ck_rows_together($1.matrix.format, group.inputs)) }
        // Four parts a thread even out unequal speeds; 16 panels are enough to make a part's overhead small.
        let evenChunk = max(1, min(16, group.width / 16 / (threads * 4)))
        // Tiles take up to four panels.
        let panelsPerChunk = evenChunk < 4 ? evenChunk : evenChunk / 4 * 4
        self.panelsPerChunk = panelsPerChunk
        chunksPerBlock = group.projections.reduce(0) { $0 + ($1.panelCount + panelsPerChunk - 1) / panelsPerChunk }
        chunkCount = (rows + rowsPerBlock - 1) / rowsPerBlock * chunksPerBlock
    }

    /// - Parameter chunk: 0..<chunkCount
    func part(_ chunk: Int) -> Part {
        let firstRow = chunk / chunksPerBlock * rowsPerBlock
        var rest = chunk % chunksPerBlock
        var projection = 0
        while true {
            let panelCount = group.projections[projection].panelCount
            let chunks = (panelCount + panelsPerChunk - 1) / panelsPerChunk
            if rest < chunks {
                let firstPanel = rest * panelsPerChunk
                return Part(
                    projection: projection, rows: firstRow..<min(rows, firstRow + rowsPerBlock),
                    panels: firstPanel..<min(panelCount, firstPanel + panelsPerChunk))
            }
            rest -= chunks
            projection += 1
        }
    }
}
