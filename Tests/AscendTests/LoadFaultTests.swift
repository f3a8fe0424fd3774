import LMClient
import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    /// What docs/ascend.md promises when a device fails, of a server in the middle of its work: every request has its whole
    /// text or one error that says what to do, the ledger is exact, and the server answers the next request.
    @Suite("Faults under load")
    struct LoadFaultTests {
        /// Programs inherit the settings of the simulated device.
        init() throws { try AscendSimulator.restart() }

        @Test(
            "A failure that leaves a step unknown, or takes the device away, costs no request a token",
            arguments: [
                // Time-outs, at the call and behind it.
                "fail call=aclmdlRIExecuteAsync nth=20 code=107019",
                "fail call=aclmdlRIExecuteAsync nth=20 code=107020 async=true",
                "fail call=aclnnFusedInferAttentionScoreV3 nth=60 code=507012 async=true",
                // Faults of cores and streams.
                "fail call=aclmdlRIExecuteAsync nth=20 code=507014",
                "fail call=aclnnFusedInferAttentionScoreV3 nth=60 code=507015 async=true",
                "fail call=aclnnFusedInferAttentionScoreV3 nth=60 code=507017 async=true",
                "fail call=aclmdlRIExecuteAsync nth=20 code=507034 async=true",
                "fail call=aclrtMemcpyAsync nth=30 code=507048 async=true",
                // Memory that fails, and a device that is not there.
                "fail call=aclmdlRIExecuteAsync nth=20 code=507054 async=true",
                "fail call=aclrtRecordEvent nth=60 code=507899", "lost after=900",
                // No memory for a step.
                "fail call=aclmdlRIExecuteAsync nth=20 code=207018", "fail call=aclrtMallocPhysical nth=4 code=207001",
            ])
        func recovers(_ faults: String) async throws {
            try await strike(faults) { outcomes, expected in
                #expect(outcomes.map(\.error) == expected.map(\.error))
            }
        }

        @Test("A step that hangs is given up after ten seconds, and computed again")
        func hang() async throws {
            try await strike("stall op=aclnnSwiGlu nth=60 ms=120000") { outcomes, _ in
                #expect(outcomes.allSatisfy { $0.error == nil })
            }
        }

        @Test("A row that is not finite ends its own request alone")
        func nonFinite() async throws {
            try await strike("nan op=aclnnSwiGlu row=1 nth=60") { outcomes, _ in
                #expect(outcomes.compactMap(\.error?.code) == [.modelOutput])
            }
        }

        @Test("A device whose numbers go bad is found out with the third request, and set up anew for the others")
        func badNumbers() async throws {
            try await strike("nan op=aclnnSwiGlu row=0 nth=60 every=true") { outcomes, _ in
                #expect(outcomes.compactMap(\.error?.code) == [.modelOutput, .modelOutput, .modelOutput])
            }
        }

        @Test("Where half of a step has no memory either, its youngest request fails, with DEVICE")
        func noMemory() async throws {
            let faults = "fail call=aclnnArgMax nth=20 code=207001; fail call=aclnnArgMax nth=21 code=207001"
            try await strike(faults, "--enforce-eager") { outcomes, _ in
                #expect(outcomes.compactMap(\.error?.code) == [.device])
                #expect(outcomes.allSatisfy { $0.error?.isRetryable != false })
            }
        }

        @Test("A device that is lost again fails the requests of the step, with DEVICE; it is tried again in a second")
        func lostTwice() async throws {
            try await strike("lost after=900; fail call=aclrtSetDevice nth=2 code=207004") { outcomes, _ in
                #expect(outcomes.contains { $0.error != nil })
                #expect(outcomes.compactMap(\.error).allSatisfy { $0.code == .device && $0.isRetryable })
            }
        }

        // MARK: - Load

        private static let clientCount = 8
        private static let tokenCount = 40

        /// What became of a request.
        private struct Outcome: Sendable {
            var ids: [Int32] = []
            var text = ""
            var error: LMError?
        }

        /// What the clients get when nothing fails, however steps are run.
        private static let undisturbed = Task {
            let folder = try ServerTests.folder()
            let (outcomes, failedSteps) = try await load(ServerTests.start(folder)) { _ in }
            #expect(failedSteps == 0 && outcomes.allSatisfy { $0.error == nil && $0.ids.count == tokenCount })
            return outcomes
        }

        /// Lets clients stream from a server whose device fails so, and looks at what they and the ledger say.
        private func strike(
            _ faults: String, _ option: String = "--device=npu", _ judge: ([Outcome], [Outcome]) -> Void
        ) async throws {
            let folder = try ServerTests.folder()
            let expected = try await Self.undisturbed.value
            let (outcomes, failedSteps) = try await Self.load(ServerTests.start(folder, ["FAULTS": faults], [option])) {
                client in
                // A device that is lost again is not tried before its time has come.
                var next = await Self.outcome(client, 0)
                for _ in 0..<30 where next.error?.isRetryable == true {
                    try await Task.sleep(for: .milliseconds(100))
                    next = await Self.outcome(client, 0)
                }
                #expect(next.error == nil && next.text == expected[0].text, "the server lives")
            }
            #expect(failedSteps > 0 || outcomes.contains { $0.error != nil }, "the script strikes")
            judge(outcomes, expected)
            for (outcome, expected) in zip(outcomes, expected) {
                #expect(expected.ids.starts(with: outcome.ids) && expected.text.hasPrefix(outcome.text))
                #expect(outcome.error != nil || outcome.ids.count == Self.tokenCount)
            }
        }

        /// All clients at once; the ledger is looked at when they have ended, and then by `next`.
        private static func load(
            _ server: Server, _ next: (LMClient) async throws -> Void
        ) async throws -> ([Outcome], failedSteps: Int) {
            var configuration = ClientConfiguration(endpoint: server.address)
            configuration.retry = .none
            configuration.resumesStreams = false
            let client = try LMClient(configuration)
            defer { client.shutdown() }
            let outcomes = await withTaskGroup(of: (Int, Outcome).self) { group in
                for number in 0..<clientCount { group.addTask { (number, await outcome(client, number)) } }
                var outcomes = [Outcome](repeating: Outcome(), count: clientCount)
                for await (number, outcome) in group { outcomes[number] = outcome }
                return outcomes
            }
            let ledger = Dictionary(
                uniqueKeysWithValues: try await client.statistics().map { ($0.name, Int($0.value)) })
            #expect(ledger["kv_blocks_owned"] == 0)
            #expect(
                ledger["kv_blocks_free"].map { $0 + (ledger["kv_blocks_cached"] ?? 0) } == ledger["kv_blocks_total"])
            for gauge in ["requests_running", "requests_waiting", "requests_parked"] { #expect(ledger[gauge] == 0) }
            #expect(ledger["requests_failed_total"] == outcomes.count { $0.error != nil })
            #expect(ledger["tokens_generated_total"] == outcomes.reduce(0) { $0 + $1.ids.count })
            try await next(client)
            return (outcomes, ledger["steps_failed_total"] ?? 0)
        }

        private static func outcome(_ client: LMClient, _ number: Int) async -> Outcome {
            var outcome = Outcome()
            do throws(LMError) {
                for try await token in try await client.generate(request(number)) {
                    #expect(token.index == outcome.ids.count, "no token is lost or told twice")
                    outcome.ids.append(token.id)
                    outcome.text += token.text
                }
            } catch {
                outcome.error = error
            }
            return outcome
        }

        /// A prompt of its own for each client, of 3 to 122 tokens.
        private static func request(_ number: Int) -> GenerateRequest {
            let ids = randomTokens(3 + number * 17, seed: UInt64(number) + 40, below: 90)
            var request = GenerateRequest(.tokens(ids))
            request.sampling.temperature = 0
            request.stop.maxTokens = tokenCount
            request.stop.ignoresEndOfSequence = true
            return request
        }
    }
}
