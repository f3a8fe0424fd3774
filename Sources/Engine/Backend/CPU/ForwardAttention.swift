internal import CKernels

/// Rows of one sequence that attend together, so that keys and values are read once for all of them.
struct AttentionTile {
    let sequence: Int
    let rows: Range<Int>
    /// Segments of the context, each `CK_SEGMENT` positions.
    let segments: Range<Int>
}

/// The attention of a step, cut into tiles.
///
/// A step of few rows has too few of them to occupy all threads, so there each segment of the context is a tile of its
/// own and the partial results are merged afterwards. Segments lie at fixed positions and are merged in the same order
/// either way: the bits do not depend on the cut.
struct AttentionTiles {
    private(set) var tiles: [AttentionTile] = []
    /// Whether tiles leave partial results to be merged.
    private(set) var isSplit = false
    /// Segments of the longest context.
    private(set) var segmentCount = 0

    private static let mostRowsToSplit = 8

    /// Cuts anew and keeps the memory.
    mutating func cut(_ plan: borrowing StepPlan, rowsPerTile: Int) {
        tiles.removeAll(keepingCapacity: true)
        segmentCount = Self.segments(Int(plan.contextLengths.max() ?? 0))
        isSplit = plan.rowCount <= Self.mostRowsToSplit && segmentCount > 1
        for sequence in 0..<plan.sequenceCount {
            let end = Int(plan.rowStart[sequence + 1])
            var row = Int(plan.rowStart[sequence])
            while row < end {
                let rows = row..<min(end, row + (isSplit ? 1 : rowsPerTile))
                let segments = 0..<Self.segments(Int(plan.positions[rows.upperBound - 1]) + 1)
                if isSplit {
                    for segment in segments {
                        tiles.append(
                            AttentionTile(sequence: sequence, rows: rows, segments: segment..<segment + 1))
                    }
                } else {
                    tiles.append(AttentionTile(sequence: sequence, rows: rows, segments: segments))
                }
                row = rows.upperBound
            }
        }
    }

    static func segments(_ positions: Int) -> Int { (positions + Int(CK_SEGMENT) - 1) / Int(CK_SEGMENT) }

    /// The first segment of which a row at `position` sees something.
    static func firstSegment(_ position: Int32, window: Int) -> Int {
        window == 0 ? 0 : max(0, Int(position) + 1 - window) / Int(CK_SEGMENT)
    }
}

/// Memory of one thread for one tile.
struct AttentionScratch {
    /// (queries)
    let queries: UnsafeMutablePointer<UnsafePointer<Float>?>
    /// (queries)
    let lengths: UnsafeMutablePointer<Int32>
    /// (queries, partial)
    let states: UnsafeMutablePointer<Float>
    /// (queries, partial)
    let partials: UnsafeMutablePointer<Float>

    /// Rows whose query heads make a tile worth reading keys for; more would not fit the first-level cache.
    static func rowsPerTile(_ model: ModelConfiguration) -> Int {
        max(1, 48 / (model.headCount / model.cacheHeadCount))
    }

    init(_ model: ModelConfiguration) {
        let count = Self.rowsPerTile(model) * (model.headCount / model.cacheHeadCount)
        queries = .allocate(capacity: count)
        lengths = .allocate(capacity: count)
        let partialLength = ForwardStep.padded(model.cacheHeadDimension) + 16
        states = .allocate(capacity: count * partialLength)
        partials = .allocate(capacity: count * partialLength)
    }

    func deallocate() {
        queries.deallocate()
        lengths.deallocate()
        states.deallocate()
        partials.deallocate()
    }
}

extension ForwardWorker {
    /// Where the queries of a row are, head by head.
    private func queries(_ row: Int, _ layer: PackedLayer) -> UnsafeMutablePointer<Float> {
        layer.latent == nil ? step.buffers.outputs + row * layer.queryKeyValue.width : latentQueries(row)
    }

    /// From queries to `inputs`, or to partial results when the step is split. Of latents, what is attended replaces
    /// the query.
    func attend(_ index: Int, _ layer: PackedLayer) {
        let heads = step.model.cacheHeadCount
        member.share(step.tileCount * heads) { chunk in
            attend(index, layer, head: chunk % heads, tile: step.tiles.tiles[chunk / heads])
        }
    }

    private func attend(_ index: Int, _ layer: PackedLayer, head: Int, tile: AttentionTile) {
        let seen = AttentionTiles.firstSegment(step.plan.positions[tile.rows.lowerBound], window: layer.window)
        let first = max(tile.segments.lowerBound, seen)
        guard first < tile.segments.upperBound else { return }
        let count = gather(layer, head: head, tile: tile)
        step.plan.blockTables.withUnsafeBufferPointer { tables in
            guard let table = tables.baseAddress else { return }
            var cache = step.cache.view(
                layer: index, head: head, window: layer.window,
                blockTable: table + tile.sequence * step.plan.blockTableStride)
            if step.tiles.isSplit {
                let partials = partial(row: tile.rows.lowerBound, head: head, segment: first)
                ck_attend(&cache, first, scratch.queries, scratch.lengths, count, partials)
                return
            }
            ck_attend(&cache, first, scratch.queries, scratch.lengths, count, scratch.states)
            for segment in tile.segments where segment > first {
                ck_attend(&cache, segment, scratch.queries, scratch.lengths, count, scratch.partials)
                for index in 0..<count {
                    let offset = index * step.partialLength
                    ck_attend_merge(scratch.states + offset, scratch.partials + offset, step.headStride)
                }
            }
            for index in 0..<count {
                let (row, query) = index.quotientAndRemainder(dividingBy: step.groupSize)
                finish(
                    scratch.states + index * step.partialLength, row: tile.rows.lowerBound + row,
                    head: head * step.groupSize + query, isLatent: layer.latent != nil)
            }
        }
    }

    /// Lists the tile's queries, row by row and within a row head by head, and how far each sees.
    private func gather(_ layer: PackedLayer, head: Int, tile: AttentionTile) -> Int {
        var count = 0
        for row in tile.rows {
            let query = queries(row, layer) + head * step.groupSize * step.headStride
            for index in 0..<step.groupSize {
                scratch.queries[count] = UnsafePointer(query + index * step.headStride)
                scratch.lengths[count] = step.plan.positions[row] + 1
                count += 1
            }
        }
        return count
    }

    /// Merges what a split step left, and prepares the rows for the next matrix.
    func collect(_ layer: PackedLayer) {
        forEach(step.rowCount) { row in
            if step.tiles.isSplit { merge(row, layer) }
            prepare(row, for: layer.attentionOutput)
        }
    }

    /// Merges what a split step left of a row.
    func merge(_ row: Int, _ layer: PackedLayer) {
        let position = step.plan.positions[row]
        let first = AttentionTiles.firstSegment(position, window: layer.window)
        let end = AttentionTiles.segments(Int(position) + 1)
        for head in 0..<step.model.headCount {
            let (pair, query) = head.quotientAndRemainder(dividingBy: step.groupSize)
            let offset = query * step.partialLength
            let state = partial(row: row, head: pair, segment: first) + offset
            for segment in first + 1..<max(first + 1, end) {
                ck_attend_merge(state, partial(row: row, head: pair, segment: segment) + offset, step.headStride)
            }
            finish(state, row: row, head: head, isLatent: layer.latent != nil)
        }
    }

    /// Where the partial results of a cache head's queries in one segment are.
    private func partial(row: Int, head: Int, segment: Int) -> UnsafeMutablePointer<Float> {
        let index = (row * step.model.cacheHeadCount + head) * step.tiles.segmentCount + segment
        return step.buffers.partials + index * step.groupSize * step.partialLength
    }

    /// Writes a query head's result to the inputs of the next matrix, without padding; of latents, to where its query
    /// was.
    private func finish(_ state: UnsafePointer<Float>, row: Int, head: Int, isLatent: Bool) {
        let dimension = step.model.cacheHeadDimension
        let target =
            isLatent
            ? latentQueries(row) + head * step.headStride
            : step.buffers.inputs + row * step.model.queryLength + head * dimension
        ck_attend_finish(state, step.headStride, dimension, target)
    }
}
