/// The blocks that hold one sequence's keys and values, in order. Filled and emptied by `BlockPool` alone, so that no
/// block can be given back twice.
package struct BlockTable {
    /// Block numbers; block `i` holds positions `i * blockSize ..< (i + 1) * blockSize`.
    package fileprivate(set) var blocks: [Int32] = []
    /// Leading blocks that are in the prefix index: they are full and never written again.
    package fileprivate(set) var publishedCount = 0
    /// False once a block could not be entered; those after it have no shared parent.
    fileprivate var isPublishable = true

    package init() {}
}

/// Which KV blocks are free, which hold a cached prefix, and which belong to sequences.
///
/// Every block is in one of three states and moves only here: free -> owned (`extend`), owned -> cached or free
/// (`release`), cached -> owned (`adoptPrefix`), cached -> free (eviction). Only full blocks are shared; the block a
/// sequence is writing is always its own.
package struct BlockPool {
    /// Number of blocks.
    package let blockCount: Int
    /// Tokens of one block.
    package let blockSize: Int
    /// Blocks that belong to at least one sequence.
    package private(set) var ownedCount = 0
    /// Sum over all sequences of their blocks; a shared block counts once for each.
    package private(set) var referenceTotal = 0

    private var free: [Int32]
    private var references: [Int32]
    private var evictable: EvictionQueue
    private var index: PrefixIndex?

    /// - Parameters:
    ///   - prefixCaching: keep full blocks of finished sequences until their memory is needed.
    ///   - hashMask: narrowed by tests, to see that a collision is never taken for a hit.
    package init(blockCount: Int, blockSize: Int, prefixCaching: Bool, hashMask: UInt64 = .max) {
        precondition(blockCount > 0 && blockSize > 0 && blockCount <= Int(Int32.max) / blockSize)
        self.blockCount = blockCount
        self.blockSize = blockSize
        free = (0..<Int32(blockCount)).reversed()
        references = [Int32](repeating: 0, count: blockCount)
        evictable = EvictionQueue(blockCount: blockCount)
        index = prefixCaching ? PrefixIndex(blockCount: blockCount, blockSize: blockSize, hashMask: hashMask) : nil
    }

    /// Blocks that hold nothing.
    package var freeCount: Int { free.count }
    /// Blocks that hold a prefix no sequence uses now.
    package var cachedCount: Int { evictable.count }
    /// Blocks that a sequence could get.
    package var availableCount: Int { freeCount + cachedCount }
    /// The ledger: each block is counted in exactly one state.
    package var isBalanced: Bool { freeCount + cachedCount + ownedCount == blockCount }

    /// Blocks that `tokens` tokens take.
    package func blocks(forTokens tokens: Int) -> Int { (tokens + blockSize - 1) / blockSize }

    /// Grows `table` to hold `tokens` tokens, evicting cached prefixes where needed.
    ///
    /// - Returns: false, with nothing changed, when there are not enough blocks.
    package mutating func extend(_ table: inout BlockTable, toHold tokens: Int) -> Bool {
        let missing = blocks(forTokens: tokens) - table.blocks.count
        guard missing <= availableCount else { return false }
        guard missing > 0 else { return true }
        for _ in 0..<missing {
            let block = takeFree()
            acquire(block)
            table.blocks.append(block)
        }
        return true
    }

    /// Gives an empty table the longest cached prefix of `tokens`, but never the last token's block: the sequence must
    /// compute at least one row to get logits.
    ///
    /// - Returns: tokens whose keys and values are now in the table.
    package mutating func adoptPrefix(of tokens: [Int32], scope: PrefixScope, into table: inout BlockTable) -> Int {
        precondition(table.blocks.isEmpty, "a prefix goes into an empty table")
        table.isPublishable = true
        guard let index else { return 0 }
        let limit = (tokens.count - 1) / blockSize
        while table.blocks.count < limit, let block = index.block(for: key(at: table, tokens, scope)) {
            if references[Int(block)] == 0 { evictable.remove(block) }
            acquire(block)
            table.blocks.append(block)
            table.publishedCount += 1
        }
        return table.publishedCount * blockSize
    }

    /// Enters the blocks that `computed` tokens have filled into the prefix index. A block whose content is there
    /// already is exchanged for that one, so that equal prefixes are stored once.
    package mutating func publish(_ table: inout BlockTable, _ tokens: [Int32], scope: PrefixScope, computed: Int) {
        while index != nil, table.isPublishable, (table.publishedCount + 1) * blockSize <= computed {
            let key = key(at: table, tokens, scope)
            let own = table.blocks[table.publishedCount]
            if let existing = index?.block(for: key) {
                if references[Int(existing)] == 0 { evictable.remove(existing) }
                acquire(existing)
                table.blocks[table.publishedCount] = existing
                drop(own, keeping: false)
            } else if index?.enter(own, as: key) == false {
                table.isPublishable = false
                return
            }
            table.publishedCount += 1
        }
    }

    /// Takes all blocks back and empties the table.
    ///
    /// - Parameter keeping: whether published blocks stay cached; false when their contents are in doubt.
    package mutating func release(_ table: inout BlockTable, keeping: Bool = true) {
        // The tail first: a cached block is then always older in the queue than its parent, and eviction meets leaves.
        for block in table.blocks.reversed() { drop(block, keeping: keeping) }
        table.blocks.removeAll(keepingCapacity: true)
        table.publishedCount = 0
    }

    /// Frees all cached prefixes: what their blocks held is gone. No sequence may own a block.
    package mutating func forgetPrefixes() {
        precondition(referenceTotal == 0, "sequences have given their blocks back")
        // Children stand before their parents in the queue.
        while let block = evictable.oldest {
            evictable.remove(block)
            index?.remove(block)
            free.append(block)
        }
    }

    private func key(at table: BlockTable, _ tokens: [Int32], _ scope: PrefixScope) -> PrefixIndex.Key {
        let start = table.publishedCount * blockSize
        let parent = table.publishedCount == 0 ? PrefixIndex.root : table.blocks[table.publishedCount - 1]
        return PrefixIndex.Key(scope: scope, parent: parent, tokens: tokens[start..<start + blockSize])
    }

    private mutating func takeFree() -> Int32 {
        if let block = free.popLast() { return block }
        guard let block = evictable.oldest else { preconditionFailure("no block is free or cached") }
        evictable.remove(block)
        index?.remove(block)
        return block
    }

    private mutating func acquire(_ block: Int32) {
        if references[Int(block)] == 0 { ownedCount += 1 }
        references[Int(block)] += 1
        referenceTotal += 1
    }

    private mutating func drop(_ block: Int32, keeping: Bool) {
        precondition(references[Int(block)] > 0, "block \(block) is given back twice")
        references[Int(block)] -= 1
        referenceTotal -= 1
        guard references[Int(block)] == 0 else { return }
        ownedCount -= 1
        guard let entered = index?.contains(block), entered else { return free.append(block) }
        if !keeping && index?.isLeaf(block) == true {
            index?.remove(block)
            free.append(block)
        } else {
            evictable.append(block)
        }
    }

    /// Everything the counters promise, checked block by block: what is wrong, or nil.
    ///
    /// - Parameter tables: the tables of all sequences.
    package func audit(tables: some Sequence<BlockTable>) -> String? {
        var expected = [Int32](repeating: 0, count: blockCount)
        for table in tables {
            if Set(table.blocks).count != table.blocks.count { return "a table names a block twice: \(table.blocks)" }
            for block in table.blocks { expected[Int(block)] += 1 }
            for (position, block) in table.blocks.enumerated() {
                let isShared = index?.contains(block) ?? false
                if isShared != (position < table.publishedCount) { return "block \(block) is published by half" }
            }
        }
        if expected != references { return "references do not match the tables" }
        if !isBalanced { return "\(freeCount) free + \(cachedCount) cached + \(ownedCount) owned != \(blockCount)" }
        if ownedCount != references.count(where: { $0 > 0 }) { return "the owned blocks are counted wrong" }
        if referenceTotal != references.reduce(0, { $0 + Int($1) }) { return "the references are counted wrong" }
        let cached = evictable.blocks
        if cached.count != cachedCount { return "the eviction queue is \(cached.count) long, counts \(cachedCount)" }
        if Set(free + cached).count != free.count + cached.count { return "a block is free or cached twice" }
        if (free + cached).contains(where: { references[Int($0)] > 0 }) { return "an owned block is free or cached" }
        if let index {
            if cached.contains(where: { !index.contains($0) }) { return "a cached block is not in the index" }
            if free.contains(where: { index.contains($0) }) { return "a free block is in the index" }
            return index.audit()
        }
        return cached.isEmpty ? nil : "blocks are cached without a prefix index"
    }
}
