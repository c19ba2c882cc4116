using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Spectre.Console;

namespace KantaGateway.Benchmarks;

/// <summary>A number that must not be missed.</summary>
/// <param name="AtLeast">Whether the bound is a lower one.</param>
sealed record Goal(string What, double Measured, double Bound, bool AtLeast = true)
{
    public bool IsMet => AtLeast ? Measured >= Bound : Measured <= Bound;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{What}: {Measured:0.##}, {(AtLeast ? "at least" : "at most")} {Bound:0.##}: {(IsMet ? "met" : "NOT met")}");
}

/// <param name="Columns">Of the numbers; the first column has no name.</param>
sealed record ReportTable(string Title, IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows);

/// <summary>The result of one command: shown, kept as JSON in <c>measured/</c>, and put into the README from there.</summary>
/// <param name="Name">Of the command.</param>
/// <param name="Command">That repeats the run.</param>
/// <param name="Setting">What was measured on what data.</param>
/// <param name="Rounds">Every measurement.</param>
sealed record Report(string Name, DateTimeOffset Date, string Command, Machine Machine, string Setting, IReadOnlyList<ReportTable> Tables, IReadOnlyList<Goal> Goals, IReadOnlyList<Measurement> Rounds)
{
    private static readonly JsonSerializerOptions Readable = new()
    {
        WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
    };

    /// <summary>Null when the file holds something else.</summary>
    public static Report? Load(string file) =>
        JsonSerializer.Deserialize<Report>(File.ReadAllText(file), Readable) is { Tables: not null, Goals: not null } report ? report : null;

    public async Task<int> PublishAsync(string file, CancellationToken cancel)
    {
        // Into a file or a pipe the table is as wide as it needs to be.
        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = 180;
        AnsiConsole.WriteLine(Setting);
        foreach (var (title, columns, rows) in Tables)
        {
            var table = new Table().Border(TableBorder.Rounded).Title(Markup.Escape(title)).AddColumn("");
            foreach (var name in columns)
                table.AddColumn(new TableColumn(Markup.Escape(name)).RightAligned());
            foreach (var row in rows)
                table.AddRow([.. row.Select(Markup.Escape)]);
            AnsiConsole.Write(table);
        }
        foreach (var goal in Goals)
            AnsiConsole.WriteLine(goal.ToString());
        AnsiConsole.WriteLine(MachineText);
        file = Path.GetFullPath(file);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(this, Readable), cancel);
        Console.WriteLine($"results in {file}");
        return 0;
    }

    public string Markdown()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Date:yyyy-MM-dd}, {MachineText}. {Setting}\n\n`{Command}`\n");
        foreach (var (title, columns, rows) in Tables)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n**{title}**\n\n| | {string.Join(" | ", columns)} |\n|---|{string.Concat(columns.Select(_ => "---:|"))}\n");
            foreach (var row in rows)
                text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", row)} |\n");
        }
        if (Goals.Count > 0)
            text.Append('\n');
        foreach (var goal in Goals)
            text.Append(CultureInfo.InvariantCulture, $"- {goal}\n");
        return text.ToString();
    }

    private string MachineText => string.Create(CultureInfo.InvariantCulture, $"{Machine.Cores} cores, {Machine.Processor}, {Machine.Runtime}, one durable 4 KiB write {Machine.Flush:0.00} ms");
}
