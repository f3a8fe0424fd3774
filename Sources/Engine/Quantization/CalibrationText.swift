extension Calibration {
    /// Some of everything that models read: prose, a conversation, code, data, numbers, several scripts.
    package static let text = """
        The harbour wakes before the town does. At four the first boats come in with their lamps still lit, and the men on \
        the quay, who have been waiting since three with their hands in their sleeves, begin to shout prices that nobody \
        means. By the time the sun is over the breakwater, the herring are on ice, the nets are spread over the railings, \
        and the cats have given up hope. My grandmother used to say that you could tell the weather of the next day from \
        the voices: if they argued, there would be wind.

        Photosynthesis converts light energy into chemical energy. In the light-dependent reactions, water is split, oxygen \
        is released, and ATP and NADPH are formed; in the Calvin cycle, carbon dioxide is fixed by the enzyme RuBisCO into \
        three-carbon sugars. About 120 petagrams of carbon are fixed by land plants every year (estimates range from 112 to \
        169), of which roughly half is respired again.

        User: How do I find out which process is using port 8080?
        Assistant: On Linux you can run `ss -ltnp 'sport = :8080'` or `lsof -i :8080`. Both print the process id; stop it \
        with `kill PID`, and only if that fails after a few seconds with `kill -9 PID`.
        User: And if it belongs to another user?
        Assistant: Then you need root: `sudo ss -ltnp`. Without it, the column with the process stays empty.

        ```python
        def binary_search(items: list[int], target: int) -> int | None:
            \"""Return the index of target in sorted items, or None.\"""
            low, high = 0, len(items) - 1
            while low <= high:
                middle = (low + high) // 2
                if items[middle] == target:
                    return middle
                if items[middle] < target:
                    low = middle + 1
                else:
                    high = middle - 1
            return None
        ```

        {"id": 4711, "name": "Ada", "tags": ["admin", "beta"], "score": 98.6, "address": {"city": "Zürich", "zip": "8001"}}

        | year | revenue | growth |
        |---|---|---|
        | 2021 | $1,204,500 | 3.1% |
        | 2022 | $1,377,912 | 14.4% |

        人工智能正在改变我们的生活方式。早上七点,闹钟响了,她打开窗户,看见外面下着小雨。「今天不用带伞吗?」他问。
        La bibliothèque ferme à dix-huit heures, mais on peut rendre les livres jusqu'à minuit. Der Zug nach München hat heute \
        zwanzig Minuten Verspätung. ¿Dónde está la estación más cercana? Завтра будет солнечно, но ветрено. こんにちは、元気ですか。

        Let f(x) = x^2 - 4x + 3. Its roots are x = 1 and x = 3, since f(x) = (x - 1)(x - 3); the minimum lies at x = 2, \
        where f(2) = -1. Therefore f(x) < 0 exactly for 1 < x < 3. Q.E.D.

        SELECT customer, SUM(total) FROM orders WHERE placed >= '2024-01-01' GROUP BY customer HAVING SUM(total) > 1000;
        """
}
