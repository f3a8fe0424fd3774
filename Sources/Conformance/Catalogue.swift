/// All cases, section by section.
package enum Catalogue {
    /// In the page's order.
    package static var cases: [Case] {
        let sections: [CaseList] = [
            .transport, .preface, .handshake, .frames, .fields, .streams, .credit, .cancellation, .streamGrants,
            .goingAway, .keepingAlive, .deadlines, .resumption, .idempotency, .generation, .calls, .answers,
            .textEncoding, .limits, .extensions,
        ]
        return sections.flatMap(\.cases)
    }
}
