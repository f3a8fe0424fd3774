extension TokenizerField {
    /// What the `decoder` of a vocabulary of characters does.
    func tokenOutput() throws(EngineError) -> TokenOutput {
        var output = TokenOutput()
        var isFused = false
        for field in try flattened("decoders") {
            let type = try field.member("type")
            switch try type.string() {
            case "ByteFallback": break  // `<0xE4>` is a byte in the vocabulary already
            case "Fuse": isFused = true
            case "Replace":
                guard case .text(let text) = try field.patternSource() else {
                    throw field.unsupported("a 'Replace' of a regular expression; decoders replace text alone")
                }
                output.replacements.append((Array(text.utf8), Array(try field.member("content").string().utf8)))
            case "Strip" where isFused: output.opening = try field.strippedOpening()
            case "Metaspace":
                let mark = Array(try field.metaspaceMark().utf8)
                output.replacements.append((mark, [UInt8(ascii: " ")]))
                output.opening = try field.metaspacePrepending() == .never ? .nothing : .marks(mark)
            case let name:
                throw type.unsupported(
                    "'\(name.printable)'; supported here are Replace, ByteFallback, Fuse, Metaspace, Sequence, and Strip after Fuse"
                )
            }
        }
        return output
    }

    private func strippedOpening() throws(EngineError) -> TokenOutput.Opening {
        let limit = try member("start").integer(in: 0...1_024)
        let end = try member("stop")
        guard try end.integer(in: 0...1_024) == 0 else {
            throw end.unsupported("not 0: the end of a text is not stripped")
        }
        return .repeated(Array(try member("content").character().utf8), limit: limit)
    }

    /// Checks that the `decoder` of a byte-level vocabulary does nothing but turn tokens to bytes.
    func requireByteLevelDecoder() throws(EngineError) {
        for field in try flattened("decoders") {
            let type = try field.member("type")
            let name = try type.string()
            guard name == "ByteLevel" || name == "Fuse" else {
                throw type.unsupported("'\(name.printable)'; beside a byte-level pre-tokenizer it must be ByteLevel")
            }
        }
    }
}
