import LMEngine
import TestKit
import Testing

private func readFile(_ bytes: [UInt8]) throws(EngineError) -> SafetensorsFile {
    try SafetensorsFile(MappedFile(contents: bytes, name: "m.safetensors"))
}

private func small() -> SafetensorsWriter {
    var writer = SafetensorsWriter()
    writer.add("a", [2, 3], [1, 2, 3, 4, 5, 6])
    writer.add("b", [2], [0.5, -0.5], type: "BF16")
    writer.add("c", [4], [1, 0, -1, 2], type: "F16")
    return writer
}

/// A change to a sound file and what the error must say.
private struct BadHeader: CustomTestStringConvertible {
    let testDescription: String
    let says: [String]
    let change: @Sendable (inout SafetensorsWriter) -> Void

    init(_ name: String, says: [String], change: @escaping @Sendable (inout SafetensorsWriter) -> Void) {
        testDescription = name
        self.says = says
        self.change = change
    }

    static let all = [
        BadHeader("header beyond the limit", says: ["byte 0", "100000001", "100000000"]) {
            $0.declaredHeaderByteCount = 100_000_001
        },
        BadHeader("header beyond Int", says: ["byte 0", "\(UInt64.max)"]) { $0.declaredHeaderByteCount = .max },
        BadHeader("header beyond the file", says: ["byte 0", "99999", "truncated"]) {
            $0.declaredHeaderByteCount = 99_999
        },
        BadHeader("no object", says: ["byte 8", "'{'"]) { $0.header = "[1]" },
        BadHeader("no JSON", says: ["byte 9", "key in quotes"]) { $0.header = "{a}" },
        BadHeader("a key twice", says: ["byte 65", "\"a\"", "twice"]) {
            $0.header = #"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":1}"#
        },
        BadHeader("metadata of numbers", says: ["'__metadata__.x'", "a number"]) { $0.metadata = #"{"x":1}"# },
        BadHeader("metadata no object", says: ["'__metadata__'", "a string"]) { $0.metadata = #""x""# },
        BadHeader("too many tensors", says: ["131073 tensors", "131072"]) { writer in
            writer.header =
                "{" + (0...131_072).map { #""\#($0)":0"# }.joined(separator: ",") + "}"
        },
        BadHeader("tensor no object", says: ["'a'", "an object", "a number"]) { $0.header = #"{"a":1}"# },
        BadHeader("no dtype", says: ["'a'", "'dtype'"]) { $0.header = #"{"a":{"shape":[],"data_offsets":[0,0]}}"# },
        BadHeader("unknown dtype", says: ["'a'", "F128"]) { $0.entries[0].type = "F128" },
        BadHeader("negative extent", says: ["'b'", "'shape'"]) { $0.entries[1].shape = [-2] },
        BadHeader("one offset", says: ["'b'", "'data_offsets'", "two"]) { $0.entries[1].offsets = [24] },
        BadHeader("offsets turned round", says: ["'b'", "[28, 24]", "before"]) { $0.entries[1].offsets = [28, 24] },
        BadHeader("extents overflow", says: ["'a'", "\(1 << 40)", "\(Int.max) bits"]) {
            $0.entries[0].shape = [1 << 40, 1 << 40]
        },
        BadHeader("extents wrap to the right size", says: ["'a'", "bits"]) {
            $0.entries[0].shape = [(1 << 62) + 6, 4, 1]
        },
        BadHeader("size against shape", says: ["'a'", "[0, 24]", "F32 [2, 2]", "16"]) { $0.entries[0].shape = [2, 2] },
        BadHeader("part of a byte", says: ["'a'", "F4 [3]", "within a byte"]) {
            $0.entries[0].type = "F4"
            $0.entries[0].shape = [3]
        },
        BadHeader("gap at the start", says: ["'a'", "offset 4", "gap", "header"]) {
            $0.entries = [$0.entries[0]]
            $0.entries[0].offsets = [4, 28]
            $0.trailer = [0, 0, 0, 0]
        },
        BadHeader("gap", says: ["'b'", "offset 26", "gap behind tensor 'a'", "24"]) {
            $0.entries[1].offsets = [26, 30]
            $0.entries[2].offsets = [30, 38]
            $0.trailer = [0, 0]
        },
        BadHeader("overlap", says: ["'b'", "offset 20", "overlaps tensor 'a'", "24"]) {
            $0.entries[1].offsets = [20, 24]
        },
        BadHeader("bytes left over", says: ["3 bytes follow", "36"]) { $0.trailer = [1, 2, 3] },
        BadHeader("truncated", says: ["truncated", "36 bytes", "30"]) {
            $0.entries[2].offsets = [28, 36]
            $0.entries[2].data.removeLast(6)
        },
    ]
}

/// A case of Tests/Goldens/safetensors.json.
private struct VerdictGolden: Decodable {
    let name, header: String
    let data: Int
    let accepted: Bool
    let declared: String?
    let stricter: Bool?

    func file() throws -> [UInt8] {
        let text = Array(try #require(Golden.base64(header)))
        let length = try declared.map { try #require(UInt64($0)) } ?? UInt64(text.count)
        return GGUFWriter.bytes(length) + text + [UInt8](repeating: 0, count: data)
    }
}

@Suite struct SafetensorsTests {
    @Test func `a file's tensors are found where they are`() throws {
        let file = try readFile(small().bytes())
        #expect(file.metadata == ["format": "pt"])
        #expect(file.tensors.count == 3)
        let a = try #require(file.tensors["a"])
        #expect(a.type == .f32 && a.shape == [2, 3])
        #expect(Array(file.bytes(of: a)) == small().entries[0].data)
        let c = try #require(file.tensors["c"])
        #expect(c.type == .f16 && Array(file.bytes(of: c)) == small().entries[2].data)
    }

    @Test(arguments: BadHeader.all)
    fileprivate func `a bad header is refused by name, place and limit`(bad: BadHeader) throws {
        var writer = small()
        bad.change(&writer)
        let error = #expect(throws: EngineError.self) { try readFile(writer.bytes()) }
        let message = try #require(error).message
        #expect(error?.code == .invalidModel)
        for part in ["m.safetensors"] + bad.says { #expect(message.contains(part), "\(message)") }
    }

    @Test func `what the reference library refuses is refused, and nothing else unless on purpose`() throws {
        let cases = try Golden.load("safetensors.json", as: [VerdictGolden].self)
        #expect(cases.count > 400)
        var wrong: [String] = []
        for golden in cases {
            let accepted = (try? readFile(golden.file())) != nil
            if accepted != (golden.accepted && golden.stricter != true) { wrong.append(golden.name) }
        }
        #expect(wrong == [])
    }

    @Test func `no prefix of a file is read, and none traps`() throws {
        let bytes = small().bytes()
        for count in 1..<bytes.count {
            #expect(throws: EngineError.self, "\(count) bytes") { try readFile(Array(bytes[..<count])) }
        }
    }

    @Test func `a flipped bit gives an error or tensors within the file`() throws {
        let bytes = small().bytes()
        var read = 0
        for place in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[place] ^= 1 << bit
                guard let file = try? readFile(changed) else { continue }
                read += 1
                let covered = file.tensors.values.reduce(0) { $0 + file.bytes(of: $1).count }
                #expect(covered == 36)
            }
        }
        #expect(read >= 36 * 8)
    }
}
