import Glibc
import LMSupport
import ProgramKit
import Testing

/// What the programs say to mistakes, with no server and no model.
@Suite(.timeLimit(.minutes(5))) struct CommandLineTests {
    @Test(arguments: [
        ("lmcall", ["--temprature", "1", "hi"], 2, "unknown option --temprature; did you mean --temperature?"),
        ("lmcall", ["-T", "3", "hi"], 2, "-T is out of range"),
        ("lmcall", ["health", "--top-k", "3"], 2, "--top-k means nothing to 'lmcall health'"),
        ("lmcall", ["embed", "--format", "json", "a"], 2, "--format means nothing to 'lmcall embed'"),
        ("lmcall", ["embed", "--tools", "t.json", "a"], 2, "--tools means nothing to 'lmcall embed'"),
        ("lmcall", ["embed", "--pooling", "max", "a"], 2, "--pooling expects one of last, mean, got 'max'"),
        ("lmcall", ["embed", "--file", "/nonexistent.txt"], 66, "cannot read /nonexistent.txt"),
        ("lmcall", ["embed", "--file", "/proc/version", "a"], 2, "--file holds the whole text"),
        ("lmcall", ["embed", "--lines", "--ids", "1"], 2, "--lines takes text"),
        ("lmcall", ["health", "--normalize"], 2, "--normalize means nothing to 'lmcall health'"),
        ("lmcall", ["health", "--tools", "t.json"], 2, "--tools means nothing to 'lmcall health'"),
        ("lmcall", ["--host", "127.0.0.1:1", "hi"], 3, "127.0.0.1:1"),
        ("lmcall", ["--host", "no-such-host.invalid", "hi"], 3, "no-such-host.invalid"),
        ("lmcall", ["--host", "unix:/nonexistent/socket", "health"], 3, "/nonexistent/socket"),
        ("lmcall", ["--messages", "/nonexistent.json"], 66, "cannot read /nonexistent.json"),
        ("lmcall", ["--messages", "/proc/version"], 65, "/proc/version: "),
        ("lmcall", ["--key-file", "/nonexistent.key", "hi"], 66, "cannot read /nonexistent.key"),
        ("lmserve", [], 2, "--model is missing"),
        ("lmserve", ["--model"], 2, "--model needs a value"),
        ("lmserve", ["--model", "nonexistent"], 66, "model 'nonexistent' not found"),
        ("lmserve", ["--model", "/proc/version"], 65, "/proc/version"),
        ("lmserve", ["--model", "x", "--max-num-seqs", "0"], 2, "--max-num-seqs is out of range 1 to 4096: 0"),
        ("lmserve", ["--model", "x", "--tls-cert", "c.pem"], 2, "--tls-cert needs --tls-key"),
        ("lmserve", ["--model", "x", "--tls-client-ca", "c.pem"], 2, "--tls-client-ca needs --tls-cert"),
        ("lmserve", ["--model", "x", "--tls-min-version", "1.1"], 2, "--tls-min-version"),
        ("lmserve", ["--model", "x", "--kv-cache-dtype", "int4"], 2, "--kv-cache-dtype expects one of auto, int8"),
        ("lmserve", ["inspect"], 2, "lmserve inspect MODEL"),
        ("lmserve", ["inspect", "nonexistent"], 66, "model 'nonexistent' not found"),
        ("lmserve", ["key", "new"], 2, "lmserve key new NAME"),
        ("lmserve", ["key", "new", "a:b"], 2, "holds no colon"),
        ("lmserve", ["key", "new", "a", "--file", "/nonexistent/keys"], 74, "cannot write /nonexistent/keys"),
        ("lmcall", ["--tls-cert", "c.pem", "health"], 2, "--tls-cert needs --tls-key"),
        ("lmload", ["--tls-key", "c.pem"], 2, "--tls-key needs --tls-cert"),
        ("lmcall", ["--tls-cert", "/nonexistent.pem", "--tls-key", "k", "health"], 2, "/nonexistent.pem"),
        ("lmserve", ["--model", "x", "--device", "npu"], 1, "--device npu: "),
        ("lmserve", ["bench", "--model", "x", "extra"], 2, "unexpected argument 'extra'"),
        ("lmserve", ["bench", "--prompt", "0", "--generate", "0"], 2, "leave nothing to measure"),
        ("lmload", ["--request-rate", "-1"], 2, "--request-rate is out of range"),
        ("lmload", ["--host", "127.0.0.1:1"], 3, "127.0.0.1:1"),
    ])
    func mistakesAreNamedWithTheirExitCode(program: String, arguments: [String], status: Int32, message: String) throws
    {
        let outcome = try Programs.run(program, arguments)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.hasPrefix("\(program): ") || outcome.errors.contains("\n\(program): "))
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
    }

    @Test func invalidUTF8IsRefusedWithItsPlace() throws {
        let piped = try Programs.run("lmcall", [], input: [0x61, 0xFF])
        #expect(piped.status == 65)
        #expect(piped.errors == "lmcall: standard input: byte 1 is not valid UTF-8; convert it, e.g. with iconv\n")
        let script = #"exec "$0" "$(printf 'ab\377')""#
        let argument = try ChildProcess("/bin/sh", ["-c", script, Programs.path("lmcall")]).finish()
        #expect(argument.status == 65)
        #expect(argument.errors.contains("argument 1: byte 2 is not valid UTF-8"))
    }

    @Test func errorsAreJSONWhereJSONWasAskedFor() throws {
        struct Document: Decodable {
            struct Failure: Decodable {
                let code: String
                let message: String
                let retryable: Bool
            }
            let error: Failure
        }
        let outcome = try Programs.run("lmcall", ["--format", "json", "--host", "127.0.0.1:1", "hi"])
        #expect(outcome.status == 3)
        let document = try JSONText.decode(Document.self, from: Array(outcome.output.utf8), source: "answer")
        #expect(document.error.message.contains("127.0.0.1:1"))
    }

    @Test func newKeysAreShownOnceAndKeptAsDigests() throws {
        let path = "/tmp/lmcall-test-keys-\(getpid())"
        defer { unlink(path) }
        let first = try Programs.run("lmserve", ["key", "new", "alice", "--file", path])
        let second = try Programs.run("lmserve", ["key", "new", "ops", "--role", "admin", "--file", path])
        for outcome in [first, second] {
            #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
            #expect(outcome.output.hasPrefix("lmk_") && outcome.output.utf8.count == 69)
        }
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        let lines = try InputText.text(InputText.bytes(of: path, limit: 4_096), source: path).split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.hasPrefix("alice:sha256:") == true && lines.last?.hasSuffix(":admin") == true)

        let printed = try Programs.run("lmserve", ["key", "new", "alice"]).output.split(separator: "\n")
        #expect(printed.count == 2 && printed.last?.hasPrefix("alice:sha256:") == true)
    }

    @Test(arguments: [
        ("lmcall", []), ("lmserve", []), ("lmserve", ["bench"]), ("lmserve", ["inspect"]), ("lmserve", ["key"]),
        ("lmload", []),
    ])
    func helpGoesToStandardOutput(program: String, arguments: [String]) throws {
        let outcome = try Programs.run(program, arguments + ["--help"])
        #expect(outcome.status == 0)
        #expect(outcome.output.hasPrefix("Usage: \(program)"))
        #expect(outcome.errors.isEmpty)
        #expect(try Programs.run(program, ["--version"]).output == "\(program) \(productVersion)\n")
    }
}
