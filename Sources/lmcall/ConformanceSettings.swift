import LMConformance
import LMSupport

/// Everything that can be set on the command line of `lmcall conformance`.
struct ConformanceSettings {
    var server = ServerOptions()
    var newestTLS = TLSVersion.v1_3
    var otherKeyFile: String?
    var isByteAtATime = false
    var drainCommand: String?
    var timeout: Duration = .seconds(10)
    var isStrict = false
    var listsOnly = false
    var junitFile: String?

    enum TLSVersion: String, CaseIterable {
        case v1_2 = "1.2"
        case v1_3 = "1.3"
    }

    static var table: OptionTable<ConformanceSettings> {
        OptionTable(
            usage: "lmcall conformance [OPTIONS] [SECTION[/CASE]…] [HOST:PORT]",
            summary: """
                Holds a server, of whatever make, against the protocol's specification (docs/protocol.md): sends what the
                page allows and what it forbids, and compares what comes back. Prints a line for each case:

                  PASS  as the page says
                  SOFT  as the page says, but for a recommendation; FAIL with --strict
                  FAIL  not as the page says
                  SKIP  not tried, because the server or the command line lacks what it takes

                and in brackets how the server ended the connection, where a case watches for it. The exit status is 1 when
                a case failed. The server should have nothing else to do.
                """,
            groups: [
                OptionGroup("Server", ServerOptions.options(at: \.server) + serverOptions),
                OptionGroup("Cases", caseOptions),
            ],
            epilogue: """
                Examples:
                  lmcall conformance 127.0.0.1:7433
                  lmcall conformance 5.1 5.7/3 --strict unix:/run/lmserve.sock
                  lmcall conformance --tls-ca ca.pem --tls-max-version 1.2 --key-file key --junit report.xml example.org:7433
                """)
    }

    private static var serverOptions: [Option<ConformanceSettings>] {
        [
            .value("--tls-max-version", as: .choice(), to: \.newestTLS, "newest version of TLS to offer (default 1.3)"),
            .value(
                "--other-key-file", as: .text("FILE"), to: \.otherKeyFile,
                "file with a key of another identity, for the cases that need two"),
            .value(
                "--drain-command", as: .text("COMMAND"), to: \.drainCommand,
                "shell command that makes the server drain, for the last cases"),
        ]
    }

    private static var caseOptions: [Option<ConformanceSettings>] {
        [
            .flag("--byte-at-a-time", set: \.isByteAtATime, "write single bytes and read a few at a time"),
            .value("--timeout", as: .duration(), to: \.timeout, "how long to wait for what must come (default 10s)"),
            .flag("--strict", set: \.isStrict, "recommendations must be followed too"),
            .flag("--list", set: \.listsOnly, "print the cases instead of running them"),
            .value("--junit", as: .text("FILE"), to: \.junitFile, "write the results as JUnit XML too"),
        ]
    }
}
