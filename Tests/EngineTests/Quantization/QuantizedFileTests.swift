import Glibc
import LMEngine
import TestKit
import Testing

/// The results of quantization that are kept on disk.
@Suite struct QuantizedFileTests {
    private let folder: TemporaryFolder
    private let model: FamilyModel

    init() throws {
        model = try FamilyModel.all()[0]
        folder = try model.folder(storage: .bfloat16)
    }

    @Test func `a second start takes what the first one kept, bit for bit`() throws {
        let first = try quantized(folder.path)
        let file = folder.path + "/model.safetensors.w8a8"
        #expect(first.origin == .made(file))
        #expect(try kept(in: folder) == ["model.safetensors.w8a8"])
        let second = try quantized(folder.path)
        #expect(second.origin == .kept(file) && second.rejected == nil)
        #expect(second.records == first.records && second.weightByteCount == first.weightByteCount)
        try expectEqualWeights(first, second)
    }

    @Test func `it is a safetensors file`() throws {
        let checkpoint = try quantized(folder.path)
        let file = try SafetensorsFile(MappedFile(path: folder.path + "/model.safetensors.w8a8"))
        #expect(file.metadata["format"] == "lmcall w8a8")
        let tensor = try #require(file.tensors["layers.1.down"])
        let weights = try checkpoint.tensor(.layer(1, .down))
        #expect(tensor.type == .i8 && tensor.shape == [weights.rows, weights.columns])
        #expect(Array(file.bytes(of: tensor)) == Array(weights.bytes))
    }

    @Test func `any damage is noticed and repaired`() throws {
        let first = try quantized(folder.path)
        let name = "model.safetensors.w8a8"
        let good = try folder.read(name)
        for place in [0, 9, 200, good.count / 2, good.count - 9, good.count - 1] {
            var bad = good
            bad[place] ^= 4
            try folder.write(name, bad)
            let again = try quantized(folder.path)
            #expect(again.origin == first.origin, "byte \(place)")
            #expect(again.rejected?.contains(name) == true)
            #expect(try folder.read(name) == good)
        }
        for bad in [[], Array(good.dropLast()), good + [0], Array(good.prefix(5))] {
            try folder.write(name, bad)
            #expect(try quantized(folder.path).origin == first.origin, "\(bad.count) bytes")
            #expect(try folder.read(name) == good)
        }
    }

    @Test func `other weights are noticed`() throws {
        let first = try quantized(folder.path)
        try folder.write("model.safetensors", model.writer(storage: .float16).bytes())
        let other = try quantized(folder.path)
        #expect(other.origin == first.origin && other.rejected?.contains("other weights") == true)

        // The same size and every sampled byte the same: the file's time tells.
        var bytes = try folder.read("model.safetensors")
        bytes[bytes.count - 3000] ^= 1
        try folder.write("model.safetensors", bytes)
        var times = [timespec(tv_sec: 1_700_000_000, tv_nsec: 5), timespec(tv_sec: 1_700_000_000, tv_nsec: 5)]
        #expect(utimensat(AT_FDCWD, folder.path + "/model.safetensors", &times, 0) == 0)
        #expect(try quantized(folder.path).origin == first.origin)
        #expect(try quantized(folder.path).origin == .kept(folder.path + "/model.safetensors.w8a8"))
    }

    @Test func `a folder that cannot be written to is not needed`() throws {
        // A folder is where the file would be written, which no user may open for writing.
        try folder.write("model.safetensors.w8a8.part/x", "")
        let cache = try TemporaryFolder()
        let first = try quantized(folder.path, cacheFolder: cache.path + "/a/b")
        guard case .made(let place) = first.origin else {
            Issue.record("\(first.origin)")
            return
        }
        #expect(place.hasPrefix(cache.path + "/a/b/model.safetensors-"))
        let second = try quantized(folder.path, cacheFolder: cache.path + "/a/b")
        #expect(second.origin == .kept(place))
        try expectEqualWeights(first, second)

        let lost = try quantized(folder.path)
        #expect(lost.origin == .madeInMemory)
        try expectEqualWeights(first, lost)
    }

    @Test func `what an interrupted start left is written over`() throws {
        try folder.write("model.safetensors.w8a8.part", [UInt8](repeating: 7, count: 10_000_000))
        let first = try quantized(folder.path)
        #expect(first.origin == .made(folder.path + "/model.safetensors.w8a8"))
        #expect(try kept(in: folder) == ["model.safetensors.w8a8"])
        #expect(try quantized(folder.path).rejected == nil)
    }

    private func expectEqualWeights(_ a: W8A8Checkpoint, _ b: W8A8Checkpoint) throws {
        for role in a.configuration.tensorRoles {
            let (one, other) = (try a.tensor(role), try b.tensor(role))
            #expect(one.integers == other.integers, "\(role)")
            #expect(one.bytes.elementsEqual(other.bytes), "\(role)")
        }
    }
}
