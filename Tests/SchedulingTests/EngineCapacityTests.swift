import LMEngine
import Testing

@Suite("Engine capacity")
struct EngineCapacityTests {
    private func capacity(
        context: Int = 2_048, bytesPerToken: Int = 1_000, available: Int? = nil, _ adjust: (inout EngineOptions) -> Void
    ) throws(EngineError) -> EngineCapacity {
        var options = EngineOptions()
        adjust(&options)
        return try EngineCapacity(
            options: options, contextLength: context, bytesPerToken: bytesPerToken,
            keyValueMemory: available.map(EngineCapacity.keyValueShare(of:)))
    }

    @Test("By default the pool holds all sequences at full length, if a quarter of the memory allows")
    func defaults() throws {
        let enough = try capacity { _ in }
        #expect(enough.maxModelLength == 2_048)
        #expect(enough.sequencesAtFullLength == 32)
        #expect(enough.keyValueTokens == 32 * 2_048)
        let scarce = try capacity(available: 64_000_000) { _ in }
        #expect(scarce.keyValueCacheBytes == 16_000_000)
        #expect(scarce.blockCount == 1_000)
        #expect(scarce.sequencesAtFullLength == 7)
    }

    @Test("Given bytes are rounded down to blocks")
    func given() throws {
        let capacity = try capacity { ($0.keyValueCacheBytes, $0.maxModelLength) = (100_000, 1_000) }
        #expect(capacity.blockCount == 6 && capacity.keyValueCacheBytes == 96_000)
        #expect(capacity.sequencesAtFullLength == 0)
    }

    @Test("Huge numbers neither trap nor overflow")
    func huge() throws {
        let capacity = try capacity(context: .max / 2, bytesPerToken: 1 << 40) { $0.keyValueCacheBytes = .max }
        #expect(capacity.blockCount > 0)
        #expect(throws: EngineError.self) {
            try self.capacity(bytesPerToken: .max) { _ in }
        }
    }

    @Test(
        "Options out of range are named",
        arguments: [
            ("--max-model-len", 2_049), ("--max-model-len", 1), ("--max-num-seqs", 0), ("--max-num-batched-tokens", 31),
            ("--block-size", 0), ("--kv-cache-memory", 0), ("--kv-cache-memory", 15_999),
        ])
    func ranges(flag: String, value: Int) throws {
        let error = #expect(throws: EngineError.self) {
            _ = try capacity {
                switch flag {
                case "--max-model-len": $0.maxModelLength = value
                case "--max-num-seqs": $0.maxNumSeqs = value
                case "--max-num-batched-tokens": $0.maxNumBatchedTokens = value
                case "--block-size": $0.blockSize = value
                default: $0.keyValueCacheBytes = value
                }
            }
        }
        #expect(error?.message.contains(flag) == true)
        #expect(error?.message.contains(String(value)) == true)
    }

    @Test("The kernel's figures are read as it writes them")
    func systemMemory() {
        let meminfo = "MemTotal:       24689764 kB\nMemFree:  1 kB\nMemAvailable:   23068672 kB\nBuffers: 2 kB\n"
        #expect(SystemMemory.availableBytes(meminfo: meminfo) == 23_068_672 * 1_024)
        #expect(SystemMemory.availableBytes(meminfo: "MemAvailable:\n") == nil)
        #expect(SystemMemory.availableBytes(meminfo: "") == nil)
        #expect(
            SystemMemory.unifiedGroup(cgroup: "12:cpu:/x\n0::/system.slice/a.service\n") == "/system.slice/a.service")
        #expect(SystemMemory.unifiedGroup(cgroup: "12:memory:/x\n") == nil)
        #expect((SystemMemory.available() ?? 1) > 0)
    }
}
