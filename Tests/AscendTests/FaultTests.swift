import Glibc
import LMEngine
import ProgramKit
import Synchronization
import TestKit
import Testing

extension SimulatedDevice {
    @Suite("Faults of the simulated device")
    struct FaultTests {
        private static let planner = StepPlanner(sequenceCount: 2)
        private static let prompts = [randomTokens(11, seed: 5), randomTokens(3, seed: 6)]

        /// What two sequences yield when everything that a failed step leaves is computed once more, as the scheduler does.
        private func generate(
            _ backend: AscendBackend, count: Int = 6, attempts: Int = 3
        ) throws -> (texts: [[Int32]], errors: [EngineError.Code]) {
            var (texts, errors) = (Self.prompts, [EngineError]())
            var computed = [0, 0]
            var result = StepResult()
            while texts[0].count < Self.prompts[0].count + count {
                let plan = Self.planner.plan(texts.indices.map { ($0, texts[$0], computed[$0]..<texts[$0].count) })
                do throws(EngineError) {
                    try backend.execute(plan, into: &result)
                    #expect(result.faults.isEmpty)
                    computed = texts.map(\.count)
                    for sequence in texts.indices { texts[sequence].append(result.tokens[sequence]) }
                } catch {
                    errors.append(error)
                    computed = [0, 0]
                    guard errors.count <= attempts else { throw errors[min(1, errors.count - 1)] }
                }
            }
            return (texts, errors.map(\.code))
        }

        @Test(
            "A step that fails is computed anew, on a device set up anew where it was lost",
            arguments: [
                ("fail call=aclnnMm nth=12 code=507015 async=true", EngineError.Code.deviceLost),
                ("fail call=aclnnFusedInferAttentionScoreV3 nth=3 code=507014", .deviceLost),
                ("fail call=aclnnSwiGlu nth=3 code=507899", .deviceLost),
                ("fail call=aclnnAddRmsNorm nth=5 code=361001", .deviceLost),
                ("fail call=aclnnIndexSelect nth=6 code=107020", .backend),
                ("fail call=aclnnMm nth=9 code=207018", .deviceMemory), ("lost after=130", .deviceLost),
            ])
        func recovery(_ script: String, _ code: EngineError.Code) throws {
            let checkpoint = AscendModel.qwen3.checkpoint()
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint))
            #expect(expected.errors.isEmpty)
            try AscendSimulator.restart(["FAULTS": script])
            let backend = try Simulator.backend(checkpoint)
            let struck = try generate(backend)
            #expect(struck.errors == [code], "the script strikes once")
            #expect(struck.texts == expected.texts)
        }

        @Test(
            "One of several NPUs that fails takes all with it: all are set up anew, and nobody waits for what never comes",
            .timeLimit(.minutes(1)), arguments: [2, 4],
            [
                "lost after=130", "fail call=HcclAllReduce nth=21 code=9", "fail call=aclnnSwiGlu nth=9 code=507899",
                "fail call=aclnnMm nth=20 code=507015 async=true", "fail call=aclnnIndexSelect nth=9 code=107020",
                "fail call=aclmdlRIExecuteAsync nth=7 code=507011",
            ])
        func ranks(_ count: Int, _ script: String) throws {
            let checkpoint = AscendModel.qwen3.checkpoint()
            let division = AscendDivision(ranks: count)
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint, division: division, batches: .standard))
            #expect(expected.errors.isEmpty)
            try AscendSimulator.restart(["FAULTS": script])
            let backend = try Simulator.backend(checkpoint, division: division, batches: .standard)
            let start = ContinuousClock.now
            let struck = try generate(backend)
            #expect(struck.errors == [.deviceLost], "the script strikes once")
            #expect(struck.texts == expected.texts)
            #expect(ContinuousClock.now - start < .seconds(10), "collectives time out after 30 s")
        }

        @Test(
            "A device that stays lost is tried again, at longer and longer intervals, until it is back",
            arguments: [1, 2])
        func staysLost(_ ranks: Int) throws {
            let checkpoint = AscendModel.llama.checkpoint()
            let division = AscendDivision(ranks: ranks)
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint, division: division))
            // Of two only one does not come back.
            try AscendSimulator.restart([
                "FAULTS": "lost after=130; fail call=aclrtSetDevice nth=\(2 * ranks) every=true code=207004"
            ])
            let backend = try Simulator.backend(checkpoint, division: division)
            var codes: Set<EngineError.Code> = []
            do { _ = try generate(backend, attempts: 20) } catch let error as EngineError { codes.insert(error.code) }
            #expect(codes == [.deviceLost])
            try AscendSimulator.restart()
            var texts: [[Int32]]?
            for _ in 0..<100 where texts == nil {
                usleep(100_000)
                texts = try? generate(backend, attempts: 0).texts
            }
            #expect(texts == expected.texts)
        }

        @Test("A step that does not end is given up, and computed on a device set up anew")
        func hang() throws {
            let checkpoint = AscendModel.llama.checkpoint()
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint), count: 24)
            try AscendSimulator.restart(["FAULTS": "stall op=aclnnSwiGlu nth=41 ms=30000"])
            let backend = try Simulator.backend(checkpoint)
            (backend.watch.first, backend.watch.least) = (20_000, 300)
            let start = ContinuousClock.now
            let struck = try generate(backend, count: 24)
            #expect(struck.errors == [.deviceLost])
            #expect(struck.texts == expected.texts)
            #expect(ContinuousClock.now - start < .seconds(10))
        }

        @Test("A device lost while graphs are replayed loses them, and captures them again")
        func graphs() throws {
            let checkpoint = AscendModel.llama.checkpoint()
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint, batches: .standard), count: 12)
            try AscendSimulator.restart(["FAULTS": "fail call=aclmdlRIExecuteAsync nth=4 code=507011"])
            let struck = try generate(Simulator.backend(checkpoint, batches: .standard), count: 12)
            #expect(struck.errors == [.deviceLost])
            #expect(struck.texts == expected.texts)
        }

        @Test(
            "Where a step cannot be captured, it is launched instead, and that is said once",
            arguments: [
                "fail call=aclmdlRICaptureBegin every=true code=207008",
                "fail call=aclmdlRICaptureEnd nth=1 code=207008",
                "fail call=aclmdlRICaptureTaskGrpEnd nth=2 code=207000",
            ])
        func captureFails(_ script: String) throws {
            let checkpoint = AscendModel.llama.checkpoint()
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint))
            try AscendSimulator.restart(["FAULTS": script])
            let notices = Mutex<[String]>([])
            let backend = try Simulator.backend(checkpoint, batches: .standard) { text in
                notices.withLock { $0.append(text) }
            }
            let struck = try generate(backend)
            #expect(struck.errors.isEmpty)
            #expect(struck.texts == expected.texts)
            #expect(notices.withLock { $0.count } == 1)
        }

        @Test("A rank that cannot capture a step launches it, while the others replay theirs")
        func captureFailsOnOneRank() throws {
            let checkpoint = AscendModel.qwen2.checkpoint()
            let division = AscendDivision(ranks: 2)
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint, division: division))
            try AscendSimulator.restart(["FAULTS": "fail call=aclmdlRICaptureBegin nth=1 code=207008"])
            let notices = Mutex<[String]>([])
            let backend = try Simulator.backend(checkpoint, division: division, batches: .standard) { text in
                notices.withLock { $0.append(text) }
            }
            let struck = try generate(backend)
            #expect(struck.errors.isEmpty)
            #expect(struck.texts == expected.texts)
            #expect(notices.withLock { $0.count } == 1)
        }

        @Test("A row that is not finite is a fault of its sequence alone", arguments: [AscendModel.llama, .mixtral])
        func nonFinite(_ model: AscendModel) throws {
            let checkpoint = model.checkpoint()
            try AscendSimulator.restart()
            let expected = try generate(Simulator.backend(checkpoint), count: 1)
            // Rows 0..<11 are the first sequence's, 11..<14 the second's.
            try AscendSimulator.restart(["FAULTS": "nan op=aclnnMm row=12 nth=2"])
            let backend = try Simulator.backend(checkpoint)
            var result = StepResult()
            let plan = Self.planner.plan(
                Self.prompts.indices.map { ($0, Self.prompts[$0], 0..<Self.prompts[$0].count) })
            try backend.execute(plan, into: &result)
            #expect(result.faults.map(\.row).first == 12 && result.faults.allSatisfy { $0.row >= 12 })
            #expect(result.tokens[0] == expected.texts[0].last)
            #expect(result.tokens[1] == StepResult.nonFinite, "its last row saw the damaged one")
        }
    }
}
