import Glibc
import LMServer
import Testing

@Suite struct KeyFileTests {
    private static let digest = String(repeating: "ab", count: 32)

    @Test(
        "a line that is wrong is named, and never repeated",
        arguments: [
            ("alice", "expected NAME:KEY"), (":canary-canary-canary", "expected NAME:KEY"),
            ("alice:canary-short", "shorter than 16 bytes"), ("canary-canary-canary:alice", "shorter than 16 bytes"),
            ("alice:sha256:canary", "64 hexadecimal digits"),
            ("alice:sha256:\(digest)ff", "64 hexadecimal digits"), ("alice:sha256", "64 hexadecimal digits"),
            ("alice:canary-canary-canary:root", "infer, admin and until"),
            ("alice:canary-canary-canary:rest-of-canary", "infer, admin and until"),
            ("alice:sha256:\(digest):until=2027-02-29", "infer, admin and until"),
            ("alice:sha256:\(digest):until=27-1-1", "infer, admin and until"),
            ("alice:sha256:\(digest):until=2027-01-0x", "infer, admin and until"),
            ("a:canary-canary-canary\nb:canary-canary-canary", "line 2: the key of line 1 again"),
            ("# canary", "holds no key"),
        ])
    func wrongLines(text: String, says: String) {
        let file = TestKeyFile(text)
        let error = #expect(throws: ServerError.self) { try APIKeys(file: file.path) }
        let message = error?.message ?? ""
        #expect(message.contains(says) && message.contains(file.path), "\(message)")
        #expect(!message.contains("canary"), "\(message)")
    }

    @Test("all fields together are read") func everyField() throws {
        let file = TestKeyFile(
            "# comment\r\n\r\nalice:sha256:\(Self.digest):admin:until=2099-12-31\r\nbob:0123456789abcdef:infer\n")
        #expect(try APIKeys(file: file.path).count == 2)
    }

    @Test("a file that others may use is refused", arguments: [0o640, 0o604, 0o620, 0o777] as [mode_t])
    func modes(mode: mode_t) {
        let file = TestKeyFile("alice:0123456789abcdef\n")
        chmod(file.path, mode)
        let error = #expect(throws: ServerError.self) { try APIKeys(file: file.path) }
        #expect(error?.message.contains("chmod 600 \(file.path)") == true)
    }

    @Test("keys and digests do not show") func unprintable() throws {
        let file = TestKeyFile("alice:canary-canary-canary\nbob:sha256:\(Self.digest)\n")
        let keys = try APIKeys(file: file.path)
        var configuration = ServerConfiguration()
        configuration.keys = keys
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(keys)", String(reflecting: configuration), "\(configuration)", dumped] {
            #expect(text.contains("APIKeys(2)") || text.contains("APIKeys"))
            #expect(!text.contains("canary") && !text.contains("abab") && !text.contains("171"))
        }
    }

    @Test("new keys differ, and their lines hold the digest alone") func generated() throws {
        let first = try APIKeys.generate(name: "alice", role: .admin)
        let second = try APIKeys.generate(name: "alice", role: .infer)
        #expect(first.key != second.key && first.key.utf8.count == 68 && first.key.hasPrefix("lmk_"))
        #expect(first.line.hasPrefix("alice:sha256:") && first.line.hasSuffix(":admin"))
        #expect(!first.line.contains(first.key.dropFirst(4)))
        #expect(second.line.utf8.count == "alice:sha256:".utf8.count + 64)
        let file = TestKeyFile("\(first.line)\n\(second.line)\n")
        #expect(try APIKeys(file: file.path).count == 2)
        for name in ["", "#a", "a:b", "a\nb"] {
            #expect(throws: ServerError.self) { try APIKeys.generate(name: name, role: .infer) }
        }
    }
}
