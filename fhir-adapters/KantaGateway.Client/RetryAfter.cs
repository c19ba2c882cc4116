namespace KantaGateway.Client;

/// <summary>The header <c>Retry-After</c>, as seconds or as a date.</summary>
static class RetryAfter
{
    /// <summary>Null when there is none; never negative.</summary>
    public static TimeSpan? Of(HttpResponseMessage response, TimeProvider time)
    {
        var wait = response.Headers.RetryAfter is { } header ? header.Delta ?? header.Date - time.GetUtcNow() : null;
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }
}
