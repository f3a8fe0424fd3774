/// One step from a text to the pieces that are merged by themselves.
enum PreTokenizerStep: Sendable {
    /// A family's pattern by its hand-made scanner.
    case scan(PreTokenizer)
    case split(TextSplit)
    /// A space before each piece that does not begin with one.
    case prefixSpace
    case metaspace(Metaspace)
    /// A cut before each mark that follows something else: SentencePiece's words, where no token reaches across.
    case words(mark: [UInt8])

    /// Writes spaces as a mark, and one before the words that lack it.
    struct Metaspace: Sendable {
        enum Prepending: String, Sendable, CaseIterable { case always, first, never }
        /// The mark in UTF-8, usually "▁".
        let mark: [UInt8]
        let prepending: Prepending
    }

    /// - Parameter startsText: whether the list begins where the whole text does.
    func apply(to list: inout PieceList, startsText: Bool) {
        switch self {
        case .scan(let scanner):
            list.cut { piece, text, pieces in
                scanner.forEachPiece(of: UnsafeBufferPointer(rebasing: text[piece])) {
                    pieces.append(piece.lowerBound + $0.lowerBound..<piece.lowerBound + $0.upperBound)
                }
            }
        case .split(let split):
            var cutter = TextSplit.Cutter(split)
            list.cut { cutter.appendPieces(of: $0, in: $1, to: &$2) }
        case .prefixSpace:
            list.change { piece, text, result in
                if text[piece].first != UInt8(ascii: " ") { result.append(UInt8(ascii: " ")) }
                result.append(contentsOf: text[piece])
            }
        case .metaspace(let metaspace): metaspace.apply(to: &list, startsText: startsText)
        case .words(let mark): list.cut { Self.cutWords($0, $1, mark, &$2) }
        }
    }

    private static func cutWords(
        _ piece: Range<Int>, _ text: UnsafeBufferPointer<UInt8>, _ mark: [UInt8], _ pieces: inout [Range<Int>]
    ) {
        var start = piece.lowerBound
        var index = start
        while index < piece.upperBound {
            guard text[index] == mark[0], text[index..<piece.upperBound].starts(with: mark) else {
                index += 1
                continue
            }
            if index > start, !text[start..<index].suffix(mark.count).elementsEqual(mark) {
                pieces.append(start..<index)
                start = index
            }
            index += mark.count
        }
        pieces.append(start..<piece.upperBound)
    }
}

extension PreTokenizerStep.Metaspace {
    fileprivate func apply(to list: inout PieceList, startsText: Bool) {
        var isFirst = startsText
        list.change { piece, text, result in
            let piece = text[piece]
            let hasMark = piece.first == UInt8(ascii: " ") || piece.starts(with: mark)
            if !hasMark, prepending == .always || (prepending == .first && isFirst) { result += mark }
            for byte in piece {
                if byte == UInt8(ascii: " ") { result += mark } else { result.append(byte) }
            }
            isFirst = false
        }
    }
}
