namespace KantaGateway.Gateway.Identification;

/// <summary>What a browser says about where the answer goes (Fetch Metadata).</summary>
internal static class Navigation
{
    /// <summary>
    /// False when a page only embeds or fetches the address. Sign-ins are counted by network address, so any page could else use up
    /// those of its visitors with a handful of images.
    /// </summary>
    /// <remarks>Who sends neither header is no browser of these years, and is counted.</remarks>
    public static bool IsTop(HttpRequest request) =>
        request.Headers["Sec-Fetch-Mode"] is [] or ["navigate"] && request.Headers["Sec-Fetch-Dest"] is [] or ["document"];
}
