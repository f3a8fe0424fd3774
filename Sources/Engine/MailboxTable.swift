/// The mailboxes that live requests report to. A place is taken with the first request of a mailbox and given back when
/// its last one has ended, so that short-lived mailboxes leave nothing behind.
package struct MailboxTable {
    private struct Entry {
        var mailbox: EventMailbox?
        var liveCount = 0
    }

    private var entries: [Entry] = []

    /// An empty table.
    package init() {}

    /// The place of a mailbox for one more request. There are about as many as I/O loops, so looking at each is quick.
    package mutating func enter(_ mailbox: EventMailbox) -> Int {
        let place =
            entries.firstIndex { $0.mailbox === mailbox } ?? entries.firstIndex { $0.mailbox == nil } ?? entries.count
        if place == entries.count { entries.append(Entry()) }
        entries[place].mailbox = mailbox
        entries[place].liveCount += 1
        return place
    }

    /// Hands each mailbox its events and empties the outboxes.
    package mutating func deliver(_ outboxes: inout [EventBatch]) {
        for place in outboxes.indices { entries[place].mailbox?.append(outboxes[place]) }
        settle(&outboxes)
    }

    /// Who the events of an outbox are for; nil when nobody waits for any.
    func mailbox(at place: Int) -> EventMailbox? { entries[place].mailbox }

    /// Empties outboxes whose events have been told.
    mutating func settle(_ outboxes: inout [EventBatch]) {
        for place in outboxes.indices where !outboxes[place].events.isEmpty {
            entries[place].liveCount -= outboxes[place].ends.count
            if entries[place].liveCount == 0 { entries[place].mailbox = nil }
            outboxes[place].removeAll()
        }
    }
}
