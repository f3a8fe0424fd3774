/// How a program that talks to a server finds it and proves who it is. Names are common to all our clients.
package struct ServerOptions {
    /// `HOST`, `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    package var host = environmentValue("LMCALL_HOST") ?? "127.0.0.1:7433"
    /// Connect with TLS.
    package var usesTLS = false
    /// Authorities to trust instead of the system's; turns TLS on.
    package var authorityFile: String?
    /// Certificate chain to show to the server; turns TLS on.
    package var certificateFile: String?
    /// Private key of the certificate.
    package var privateKeyFile: String?
    /// Where the API key is.
    package var keyFile: String?
    /// How long connecting may take.
    package var connectTimeout: Duration = .seconds(5)

    /// Port of a host that is given without one.
    package static let defaultPort = 7433

    /// The defaults, with what the environment says.
    package init() {}

    /// The options that fill the value at a place of a program's settings.
    package static func options<Settings>(at path: WritableKeyPath<Settings, ServerOptions>) -> [Option<Settings>] {
        [
            .value(
                "--host", "-H", as: .text("HOST[:PORT]"), to: path.appending(path: \.host),
                "server, or unix:PATH; also LMCALL_HOST (default 127.0.0.1:\(defaultPort))"),
            .flag("--tls", set: path.appending(path: \.usesTLS), "connect with TLS, trusting the system's authorities"),
            .value(
                "--tls-ca", as: .text("FILE"), to: path.appending(path: \.authorityFile),
                "connect with TLS, trusting the authorities in this PEM file"),
            .value(
                "--tls-cert", as: .text("FILE"), to: path.appending(path: \.certificateFile),
                "connect with TLS, proving who you are with this certificate chain, PEM"),
            .value(
                "--tls-key", as: .text("FILE"), to: path.appending(path: \.privateKeyFile),
                "private key of the certificate, PEM"),
            .value(
                "--key-file", as: .text("FILE"), to: path.appending(path: \.keyFile),
                "file with the API key ('-' is standard input); also LMCALL_KEY"),
            .value(
                "--connect-timeout", as: .duration(), to: path.appending(path: \.connectTimeout),
                "give up connecting after this (default 5s)"),
        ]
    }

    /// How a connection with TLS is made; nil for a plain one.
    ///
    /// - Throws: a usage error when a certificate or its key is missing.
    package func encryption() throws(ProgramError) -> Encryption? {
        let certificate = try CertificateFiles(certificate: certificateFile, key: privateKeyFile)
        guard usesTLS || authorityFile != nil || certificate != nil else { return nil }
        return Encryption(authorityFile: authorityFile, certificate: certificate)
    }

    /// What TLS trusts, and what it shows.
    package struct Encryption {
        /// Authorities to trust instead of the system's.
        package let authorityFile: String?
        /// Proves who the client is.
        package let certificate: CertificateFiles?
    }

    /// The host with the default port where it has none.
    package var endpoint: String {
        if host.hasPrefix("unix:") { return host }
        let isBracketed = host.hasPrefix("[")
        if isBracketed ? host.hasSuffix("]") : !host.contains(":") { return "\(host):\(Self.defaultPort)" }
        // More than one colon without brackets can only be an IPv6 address.
        let isBareIPv6 = !isBracketed && host.count(where: { $0 == ":" }) > 1
        return isBareIPv6 ? "[\(host)]:\(Self.defaultPort)" : host
    }

    /// The API key from the file or the environment; never from an argument, which every user of the machine can read.
    package func apiKey() throws(ProgramError) -> String? {
        guard let keyFile else { return environmentValue("LMCALL_KEY") }
        let text = try InputText.text(try InputText.bytes(of: keyFile, limit: 65_536), source: keyFile)
        let key = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        guard !key.isEmpty else { throw ProgramError(.badInput, "\(keyFile): the first line holds no key") }
        return key
    }
}

/// A certificate chain and its private key, as `--tls-cert` and `--tls-key` name them.
package struct CertificateFiles {
    /// The chain.
    package let certificate: String
    /// Its key.
    package let key: String

    /// Nil without either.
    ///
    /// - Throws: a usage error when one is missing.
    package init?(certificate: String?, key: String?) throws(ProgramError) {
        switch (certificate, key) {
        case (nil, nil): return nil
        case (let certificate?, let key?): (self.certificate, self.key) = (certificate, key)
        case (_?, nil): throw .usage("--tls-cert needs --tls-key, the certificate's private key")
        case (nil, _?): throw .usage("--tls-key needs --tls-cert, the key's certificate")
        }
    }
}

extension ExitCode {
    /// What an error of the protocol or of the client library means to a script.
    ///
    /// - Parameter name: as docs/protocol.md spells it, for example "OVERLOADED".
    package init(errorName name: String) {
        self =
            switch name {
            case "CONFIGURATION": .usage
            case "UNREACHABLE", "TLS": .cannotConnect
            case "UNAUTHENTICATED", "FORBIDDEN": .unauthorized
            case "NOT_FOUND": .modelUnavailable
            case "RATE_LIMITED", "OVERLOADED", "QUEUE_TIMEOUT", "DRAINING": .rejected
            case "DEADLINE": .deadline
            case "CONNECTION_LOST", "SLOW_CONSUMER", "MODEL_OUTPUT", "ENGINE", "DEVICE", "INTERNAL": .serverError
            case "PROTOCOL", "FRAME_TOO_LARGE", "VERSION": .protocolError
            case "INVALID", "TOO_LARGE": .badInput
            default: .failure
            }
    }
}
