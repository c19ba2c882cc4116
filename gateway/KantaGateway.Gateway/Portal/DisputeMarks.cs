using System.Text.Json;
using KantaGateway.Audit;

namespace KantaGateway.Gateway.Portal;

/// <summary>That a dispute is being stored whose case is not open yet.</summary>
/// <param name="PatientId">Of the person whose record is about to be closed to somebody.</param>
/// <param name="Entry">Of the audit log that is disputed.</param>
/// <param name="At">UTC: from when on the record may say so.</param>
internal sealed record DisputeMark(string PatientId, long Entry, DateTimeOffset At);

/// <summary>
/// Disputes on their way: a file each beside the breach cases, from before the record is closed to somebody until the case is open. What a killed gateway leaves is found here by the next one.
/// </summary>
internal sealed class DisputeMarks(string folder)
{
    private const string Ending = ".disputed";

    /// <summary>Keeps one; it is on disk when this returns.</summary>
    /// <returns>Its file.</returns>
    /// <exception cref="IOException">It could not be written.</exception>
    public string Add(DisputeMark mark)
    {
        var file = Path.Combine(folder, Guid.NewGuid().ToString("N") + Ending);
        OwnerOnly.WriteWhole(file, JsonSerializer.SerializeToUtf8Bytes(mark), flushFolder: true);
        return file;
    }

    /// <summary>All that there are. One that cannot be read was not whole when the gateway was killed: nothing had been stored then.</summary>
    public IReadOnlyList<(string File, DisputeMark? Mark)> All => [.. Directory.EnumerateFiles(folder, "*" + Ending).Select(static file => (file, Read(file)))];

    private static DisputeMark? Read(string file)
    {
        try
        {
            return JsonSerializer.Deserialize<DisputeMark>(File.ReadAllBytes(file));
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
