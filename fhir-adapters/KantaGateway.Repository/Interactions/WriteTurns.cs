using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Lets one write at a time prepare for a compartment within this process, so that writes to one patient queue instead of
/// overtaking each other; across processes the expected head decides. Writes to different compartments commit together.
/// </summary>
sealed class WriteTurns
{
    private readonly SemaphoreSlim[] _patients = [.. Enumerable.Range(0, 1024).Select(_ => new SemaphoreSlim(1, 1))];
    private readonly SemaphoreSlim _directory = new(1, 1);

    public async ValueTask<Turn> TakeAsync(Pseudonym compartment, bool andDirectory, CancellationToken cancel)
    {
        var first = compartment.IsDirectory ? _directory : _patients[(uint)compartment.GetHashCode() % (uint)_patients.Length];
        await first.WaitAsync(cancel).ConfigureAwait(false);
        if (!andDirectory)
            return new(first, null);
        try
        {
            // Always patient before directory: two turns never wait for each other.
            await _directory.WaitAsync(cancel).ConfigureAwait(false);
            return new(first, _directory);
        }
        catch
        {
            first.Release();
            throw;
        }
    }

    public readonly struct Turn(SemaphoreSlim first, SemaphoreSlim? second) : IDisposable
    {
        public void Dispose()
        {
            second?.Release();
            first.Release();
        }
    }
}
