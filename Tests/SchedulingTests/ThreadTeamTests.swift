import LMEngine
import Testing

@Suite struct ThreadTeamTests {
    @Test(arguments: [1, 2, 3, 8])
    func `every part of every stage is done once, and seen by the next stage`(threads: Int) throws {
        let team = try ThreadTeam(threads: threads)
        for seed in 0..<50 {
            let job = CountingJob(stages: 40, widest: 1 + seed % 13)
            team.run(job)
            #expect(job.mistakes == 0 && job.values == job.expected)
        }
    }

    @Test func `a team that never worked ends`() throws {
        _ = try ThreadTeam(threads: 4)
    }
}

/// Stage `s` writes s + 1 to parts 0..<width(s) and checks what the stage before wrote, without any lock of its own.
private final class CountingJob: TeamJob, @unchecked Sendable {  // parts have one writer, stages are ordered
    private let stages: Int
    private let widest: Int
    private let cells: UnsafeMutableBufferPointer<Int>
    private let errors: UnsafeMutableBufferPointer<Int>

    init(stages: Int, widest: Int) {
        self.stages = stages
        self.widest = widest
        cells = .allocate(capacity: widest)
        cells.initialize(repeating: 0)
        errors = .allocate(capacity: widest)
        errors.initialize(repeating: 0)
    }

    deinit {
        cells.deallocate()
        errors.deallocate()
    }

    var values: [Int] { Array(cells) }
    var expected: [Int] { [Int](repeating: stages, count: widest) }
    var mistakes: Int { errors.reduce(0, +) }

    func run(as member: TeamMember) {
        for stage in 0..<stages {
            member.share(widest) { part in
                if cells[part] != stage { errors[part] += 1 }
                cells[part] += 1
            }
            // One thread, any thread, must see what all have written.
            member.share(1) { _ in
                for part in 0..<widest where cells[part] != stage + 1 { errors[part] += 1 }
            }
        }
    }
}
