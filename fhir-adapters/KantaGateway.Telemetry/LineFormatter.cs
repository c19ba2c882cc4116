using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace KantaGateway.Telemetry;

/// <summary>One JSON object a line, with the ids of trace and span: what a collector of logs joins with traces. Scopes are left out, for those of the framework have the path.</summary>
public sealed class LineFormatter() : ConsoleFormatter(FormatName)
{
    public const string FormatName = "kanta-line";

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("time", DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture));
            json.WriteString("level", logEntry.LogLevel.ToString());
            json.WriteString("category", logEntry.Category);
            json.WriteNumber("event", logEntry.EventId.Id);
            json.WriteString("message", logEntry.Formatter(logEntry.State, logEntry.Exception));
            if (logEntry.Exception is { } exception)
                json.WriteString("exception", exception.ToString());
            if (Activity.Current is { } current)
            {
                json.WriteString("trace_id", current.TraceId.ToHexString());
                json.WriteString("span_id", current.SpanId.ToHexString());
            }
            json.WriteEndObject();
        }
        textWriter.WriteLine(System.Text.Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length));
    }
}

/// <summary>The console of a part that runs as a program of its own.</summary>
public static class LineFormatterSetup
{
    /// <summary>Writes each log message as a line of JSON (<see cref="LineFormatter"/>).</summary>
    public static ILoggingBuilder AddLines(this ILoggingBuilder logging) =>
        logging.AddConsole(static console => console.FormatterName = LineFormatter.FormatName).AddConsoleFormatter<LineFormatter, ConsoleFormatterOptions>();
}
