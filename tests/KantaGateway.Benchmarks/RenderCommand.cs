using System.CommandLine;

namespace KantaGateway.Benchmarks;

/// <summary><c>render</c>: puts what lies in <c>measured/</c> into the README beside it, between the comments that name each file.</summary>
static class RenderCommand
{
    public static Command Create()
    {
        var command = new Command("render", "Puts the results in measured/ into the README");
        command.SetAction(async (_, cancel) =>
        {
            var readme = Path.GetFullPath(Path.Combine(Place.Measured("."), "..", "README.md"));
            var text = await File.ReadAllTextAsync(readme, cancel);
            foreach (var file in Directory.EnumerateFiles(Place.Measured("."), "*.json").Order(StringComparer.Ordinal))
            {
                var name = Path.GetFileName(file);
                var (begin, end) = ($"<!-- measured/{name} -->\n", $"<!-- end of measured/{name} -->");
                var (from, to) = (text.IndexOf(begin, StringComparison.Ordinal), text.IndexOf(end, StringComparison.Ordinal));
                if (from < 0 || to < from || Report.Load(file) is not { } report)
                    continue;
                text = text[..(from + begin.Length)] + report.Markdown() + text[to..];
                Console.WriteLine(name);
            }
            await File.WriteAllTextAsync(readme, text, cancel);
            return 0;
        });
        return command;
    }
}
