import LMEngine
import TestKit
import Testing

private let own = PrefixScope(tenant: 0)

@Suite("Block pool")
struct BlockPoolTests {
    private func pool(_ blocks: Int, blockSize: Int = 4) -> BlockPool {
        BlockPool(blockCount: blocks, blockSize: blockSize, prefixCaching: true)
    }

    private func tokens(_ count: Int, from start: Int32 = 0) -> [Int32] { (0..<Int32(count)).map { start + $0 } }

    /// A table filled with the keys and values of `tokens`, published as after a step.
    private func filled(_ tokens: [Int32], in pool: inout BlockPool, scope: PrefixScope = own) -> BlockTable {
        var table = BlockTable()
        _ = pool.adoptPrefix(of: tokens, scope: scope, into: &table)
        #expect(pool.extend(&table, toHold: tokens.count))
        pool.publish(&table, tokens, scope: scope, computed: tokens.count)
        return table
    }

    @Test("A table grows by whole blocks and fails without a trace")
    func growth() {
        var pool = pool(3)
        var table = BlockTable()
        for (tokens, blocks) in [(0, 0), (1, 1), (4, 1), (5, 2), (5, 2), (12, 3)] {
            #expect(pool.extend(&table, toHold: tokens))
            #expect(table.blocks.count == blocks)
            #expect(pool.ownedCount == blocks)
        }
        let before = table.blocks
        #expect(!pool.extend(&table, toHold: 13))
        #expect(table.blocks == before)
        #expect(pool.audit(tables: [table]) == nil)
        pool.release(&table)
        pool.release(&table)  // an empty table gives nothing back
        #expect(pool.freeCount == 3)
    }

    @Test(
        "The cached prefix is found up to the last full block before the last token",
        arguments: [(1, 0), (4, 0), (5, 4), (8, 4), (9, 8), (11, 8), (40, 8)])
    func prefix(length: Int, cached: Int) {
        var pool = pool(20)
        var first = filled(tokens(10), in: &pool)
        pool.release(&first)
        #expect(pool.cachedCount == 2 && pool.freeCount == 18)
        var second = BlockTable()
        #expect(pool.adoptPrefix(of: tokens(length), scope: own, into: &second) == cached)
        #expect(pool.audit(tables: [second]) == nil)
    }

    @Test("Another scope, another token or another beginning is no hit")
    func misses() {
        var pool = pool(20)
        var first = filled(tokens(12), in: &pool)
        pool.release(&first)
        var other = tokens(12)
        other[2] = 99
        let misses = [
            (tokens(12), PrefixScope(tenant: 1)), (tokens(12), PrefixScope(tenant: 0, adapter: 0)), (other, own),
            (Array(tokens(12)[4...]), own),
        ]
        for (sought, scope) in misses {
            var table = BlockTable()
            #expect(pool.adoptPrefix(of: sought, scope: scope, into: &table) == 0)
        }
        other = tokens(12)
        other[5] = 99
        var table = BlockTable()
        #expect(pool.adoptPrefix(of: other, scope: own, into: &table) == 4)
    }

    @Test("Equal prefixes computed side by side end up in the same blocks")
    func deduplication() {
        var pool = pool(20)
        var tables = [BlockTable(), BlockTable()]
        for index in tables.indices { #expect(pool.extend(&tables[index], toHold: 10)) }
        #expect(pool.ownedCount == 6)
        for index in tables.indices { pool.publish(&tables[index], tokens(10), scope: own, computed: 9) }
        #expect(pool.ownedCount == 4 && pool.referenceTotal == 6)
        #expect(tables[0].blocks.prefix(2) == tables[1].blocks.prefix(2))
        #expect(tables[0].blocks[2] != tables[1].blocks[2], "an unfinished block is never shared")
        #expect(pool.audit(tables: tables) == nil)
        for index in tables.indices { pool.release(&tables[index]) }
        #expect(pool.cachedCount == 2 && pool.freeCount == 18)
    }

    @Test("Eviction takes the least recently used prefix, its end first")
    func eviction() {
        var pool = pool(4)
        var old = filled(tokens(8), in: &pool)
        pool.release(&old)
        var recent = filled(tokens(8, from: 100), in: &pool)
        pool.release(&recent)
        #expect(pool.cachedCount == 4)
        var table = BlockTable()
        #expect(pool.extend(&table, toHold: 4))  // evicts the end of the old prefix
        var probe = BlockTable()
        #expect(pool.adoptPrefix(of: tokens(9), scope: own, into: &probe) == 4)
        pool.release(&probe)
        #expect(pool.extend(&table, toHold: 8))  // the end of `recent`: the old beginning was just used
        #expect(pool.adoptPrefix(of: tokens(9), scope: own, into: &probe) == 4)
        #expect(pool.audit(tables: [table, probe]) == nil)
    }

    @Test("Contents in doubt do not stay cached")
    func forgetting() {
        var pool = pool(8)
        var shared = filled(tokens(4), in: &pool)
        var doubtful = filled(tokens(12), in: &pool)
        pool.release(&doubtful, keeping: false)
        #expect(pool.cachedCount == 0 && pool.ownedCount == 1)
        #expect(pool.audit(tables: [shared]) == nil)
        pool.release(&shared)
        #expect(pool.cachedCount == 1)
    }

    @Test("Without prefix caching everything returns to the free list")
    func noCaching() {
        var pool = BlockPool(blockCount: 4, blockSize: 4, prefixCaching: false)
        var table = filled(tokens(16), in: &pool)
        pool.release(&table)
        #expect(pool.freeCount == 4)
    }

    /// The naive model: which tokens each block holds, written block by block as a back end would, and nothing else.
    @Test(
        "Random commands keep every block in one state and every prefix true", arguments: [3, 8, 30], [3, UInt64.max])
    func random(blockCount: Int, hashMask: UInt64) {
        var random = TestRandom(seed: UInt64(blockCount))
        var pool = BlockPool(blockCount: blockCount, blockSize: 4, prefixCaching: true, hashMask: hashMask)
        var contents = [[Int32]](repeating: [], count: blockCount)
        // Tenants, and adapters of one of them.
        let scopes = [own, PrefixScope(tenant: 1), PrefixScope(tenant: 0, adapter: 0)]
        var live: [(tokens: [Int32], scope: Int, computed: Int, table: BlockTable)] = []
        for command in 0..<20_000 {
            switch random.below(10) {
            case 0..<3 where live.count < 6:
                let tokens = (0..<random.below(blockCount * 3) + 1).map { _ in Int32(random.below(2)) }
                let scope = random.below(scopes.count)
                var table = BlockTable()
                let computed = pool.adoptPrefix(of: tokens, scope: scopes[scope], into: &table)
                for (place, block) in table.blocks.enumerated() {
                    let start = place * 4
                    #expect(contents[Int(block)] == [Int32(scope)] + tokens[..<(start + 4)], "a prefix of another text")
                }
                live.append((tokens, scope, computed, table))
            case 3..<8 where !live.isEmpty:
                let chosen = random.below(live.count)
                let computed = min(live[chosen].tokens.count, live[chosen].computed + random.below(9) + 1)
                guard pool.extend(&live[chosen].table, toHold: computed) else { break }
                for position in live[chosen].computed..<computed {
                    let block = Int(live[chosen].table.blocks[position / 4])
                    contents[block] = [Int32(live[chosen].scope)] + live[chosen].tokens[...position]
                }
                live[chosen].computed = computed
                let scope = scopes[live[chosen].scope]
                pool.publish(&live[chosen].table, live[chosen].tokens, scope: scope, computed: computed)
            case 8... where !live.isEmpty:
                let chosen = random.below(live.count)
                pool.release(&live[chosen].table, keeping: random.below(4) > 0)
                live.remove(at: chosen)
            default:
                break
            }
            let fault = pool.audit(tables: live.map(\.table))
            #expect(fault == nil, "command \(command)")
            guard fault == nil else { return }
        }
        for index in live.indices { pool.release(&live[index].table) }
        #expect(pool.ownedCount == 0 && pool.availableCount == blockCount)
    }
}
