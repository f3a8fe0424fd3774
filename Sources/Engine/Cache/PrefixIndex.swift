/// Who shares cached prefixes: requests of one tenant whose keys and values are computed by the same weights.
package struct PrefixScope: Hashable, Sendable {
    private let tenant: UInt64
    private let adapter: Int32

    /// - Parameter adapter: by its index in the back end; nil for the model as it is.
    package init(tenant: UInt64, adapter: Int? = nil) {
        self.tenant = tenant
        self.adapter = Int32(adapter ?? -1)
    }

    fileprivate var hash: UInt64 { CounterRandom.bits(seed: tenant, position: Int(adapter)) }
}

/// Which full blocks hold which tokens after which prefix.
///
/// A block is known by its parent block and its own tokens. There is never a second block with the same parent and
/// tokens, so a block's id stands for its whole prefix, and comparing parent and tokens on a hit compares everything: a
/// collision of hashes can cost a hit, never give a wrong one.
struct PrefixIndex {
    /// The parent of a sequence's first block.
    static let root: Int32 = -1

    /// What identifies a block to be looked up or entered.
    struct Key {
        var scope: PrefixScope
        var parent: Int32
        var tokens: ArraySlice<Int32>
    }

    private struct Node {
        var scope = PrefixScope(tenant: 0)
        var hash: UInt64 = 0
        var parent = PrefixIndex.root
        var children: Int32 = 0
        var isEntered = false
    }

    private let blockSize: Int
    private let hashMask: UInt64
    private var nodes: [Node]
    /// (blocks, blockSize) tokens of entered blocks.
    private var tokens: [Int32]
    private var blockByHash: [UInt64: Int32] = [:]

    init(blockCount: Int, blockSize: Int, hashMask: UInt64) {
        self.hashMask = hashMask
        self.blockSize = blockSize
        nodes = [Node](repeating: Node(), count: blockCount)
        tokens = [Int32](repeating: 0, count: blockCount * blockSize)
        blockByHash.reserveCapacity(blockCount)
    }

    func contains(_ block: Int32) -> Bool { nodes[Int(block)].isEntered }

    /// Whether no entered block continues this one.
    func isLeaf(_ block: Int32) -> Bool { nodes[Int(block)].children == 0 }

    /// The block that holds exactly these tokens after this parent.
    func block(for key: Key) -> Int32? {
        guard let block = blockByHash[hash(of: key)], matches(block, key) else { return nil }
        return block
    }

    /// Enters a block; false when another block's hash is in the way.
    mutating func enter(_ block: Int32, as key: Key) -> Bool {
        precondition(key.tokens.count == blockSize, "only full blocks are shared")
        precondition(!contains(block), "a block is entered once")
        let hash = hash(of: key)
        guard blockByHash[hash] == nil else { return false }
        blockByHash[hash] = block
        nodes[Int(block)] = Node(scope: key.scope, hash: hash, parent: key.parent, isEntered: true)
        if key.parent != Self.root {
            precondition(contains(key.parent), "a shared block's parent is shared")
            nodes[Int(key.parent)].children += 1
        }
        for (offset, token) in key.tokens.enumerated() { tokens[Int(block) * blockSize + offset] = token }
        return true
    }

    /// Forgets a leaf.
    mutating func remove(_ block: Int32) {
        precondition(contains(block) && isLeaf(block), "only a leaf leaves the prefix index")
        let node = nodes[Int(block)]
        blockByHash[node.hash] = nil
        if node.parent != Self.root { nodes[Int(node.parent)].children -= 1 }
        nodes[Int(block)] = Node()
    }

    private func hash(of key: Key) -> UInt64 {
        var hash = CounterRandom.bits(seed: key.scope.hash, position: Int(key.parent))
        for token in key.tokens { hash = CounterRandom.bits(seed: hash, position: Int(token)) }
        return hash & hashMask
    }

    private func matches(_ block: Int32, _ key: Key) -> Bool {
        let node = nodes[Int(block)]
        guard node.parent == key.parent, node.scope == key.scope else { return false }
        return tokens[Int(block) * blockSize..<(Int(block) + 1) * blockSize].elementsEqual(key.tokens)
    }

    /// What is wrong with the index; nil when nothing is.
    func audit() -> String? {
        var children = [Int32](repeating: 0, count: nodes.count)
        for (block, node) in nodes.enumerated() where node.isEntered {
            if blockByHash[node.hash] != Int32(block) { return "block \(block) is not found by its hash" }
            guard node.parent != Self.root else { continue }
            if !contains(node.parent) { return "block \(block) has lost its parent \(node.parent)" }
            children[Int(node.parent)] += 1
        }
        if blockByHash.count != nodes.count(where: \.isEntered) { return "hashes and entered blocks differ in number" }
        let wrong = nodes.indices.first { nodes[$0].children != children[$0] }
        return wrong.map { "block \($0) counts \(nodes[$0].children) children, has \(children[$0])" }
    }
}
